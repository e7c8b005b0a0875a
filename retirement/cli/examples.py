"""What an operator may copy from the help of each command; a test parses each of them."""

#: By the name of a command: command lines without `retirement`.
EXAMPLES = {
    "demo": ("demo --exit",),
    "sandbox": ("sandbox --learners 50 --write-config rehearsal.yaml",),
    "serve": ("serve --config retirement.yaml",),
    "ui": ("ui",),
    "doctor": ("doctor", "doctor --coverage"),
    "plan": ("plan", "plan --user-id 4711"),
    "status": ("status", "status --user-id 4711", "status --email -", "status --services"),
    "request": (
        "request --user-id 4711 --by dpo --reason 'a letter of March'",
        "request --csv accounts.csv --dry-run",
    ),
    "retire-learner": (
        "retire-learner --user-id 4711",
        "retire-learner --username - --dry-run",
        "retire-learner --user-id 4711 --before-cool-off-is-over 'the learner asks for it'",
    ),
    "retire-queue": ("retire-queue", "retire-queue --limit 20"),
    "reconcile": ("reconcile", "reconcile --adopt --dry-run"),
    "redrive": (
        "redrive --dry-run",
        "redrive --step RETIRING_FORUMS --since 2026-03-01",
        "redrive --user-id 4711 --yes",
    ),
    "bulk-update": (
        "bulk-update --initial-state ERRORED --rewind-state --dry-run",
        "bulk-update --initial-state COMPLETE --new-state PENDING --end-date 2026-01-15 --by dpo --reason 'a drill'",
    ),
    "replace-usernames": ("replace-usernames --csv names.csv --output names --by dpo --reason 'names of real people'",),
    "replay": ("replay --service CREDENTIALS --since 2026-03-01T02:00 --dry-run",),
    "backfill": ("backfill --step RETIRING_BRAZE --dry-run",),
    "verify": ("verify", "verify --user-id 4711"),
    "confirm": ("confirm --receipt 17 --evidence 'ticket 812' --by dpo",),
    "certificate": (
        "certificate --user-id 4711 --format pdf --output certificate-4711.pdf",
        "certificate --check certificate-4711.json",
        "certificate --check certificate-4711.json --public-key retirement.pem",
    ),
    "residue": ("residue --user-id 4711",),
    "cleanup": ("cleanup --dry-run", "cleanup --limit 500"),
    "cancel": ("cancel --user-id 4711", "cancel --email -"),
    "partner-report": ("partner-report --output reports",),
    "approve": ("approve 12 --approver dpo --reason 'the campus closed a programme' --at-most 400",),
    "reject": ("reject 12 --approver dpo --reason 'nobody announced this'",),
    "pause": ("pause queue --by oncall --reason 'the forum is being moved'",),
    "resume": ("resume queue --by oncall --reason 'the forum is back'",),
    "automations": ("automations apply",),
    "notifications": ("notifications test",),
    "hold": (
        "hold add --user-id 4711 --basis 'Art. 17(3)(e)' --until 2026-12-31 --by dpo",
        "hold list",
        "hold release 3 --by dpo --reason 'the case is closed'",
        "hold keep 3 --by dpo --reason 'the case goes on'",
    ),
    "breaker": (
        "breaker open FORUM --by oncall --reason 'the forum is being moved'",
        "breaker close FORUM --by oncall --reason 'the forum is back'",
    ),
    "ledger": (
        "ledger migrate",
        "ledger verify",
        "ledger acts --days 7",
        "ledger redact --entry 812 --by dpo --reason 'names a person' --dry-run",
    ),
    "config": ("config show", "config import tubular.yml", "config states"),
}
