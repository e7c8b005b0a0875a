"""Three nights of a site with the real engine, real processes and the real clock: `make night`."""
