"""A deterministic simulation: learners, faults, crashes and restarts in virtual time, from a seed.

One process, one thread, no sockets: `virtual` is the time, `realm` the platform, `weather` what goes wrong,
`wire` the way between them, `processes` the runs of ours, `witness` the invariants, `story` one seed. `lies` are
wrong clocks and lost ledgers, `edits` other pipelines, `mutants` the guards that this has to miss.
"""
