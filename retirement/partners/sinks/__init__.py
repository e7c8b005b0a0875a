"""Where files for partners are delivered: one module for each kind of sink, and what they have in common."""
