"""The other services of an Open edX site: credentials, licences, notes, ecommerce, discovery."""
