"""The settings of the ledger: where the evidence is, how it is signed, and what of it ends when."""

from pydantic import Field, SecretStr

from retirement.config.values import MachinePath, Schema, Settings, Text


class LedgerSettings(Settings):
    """Where the evidence is kept. Paths are absolute once a file is loaded."""

    url: SecretStr | None = Field(
        default=None,
        description="Database of the ledger, `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/DATABASE`; "
        "none: a SQLite file in the folder of this installation.",
    )
    anchor: MachinePath | None = Field(
        default=None,
        description="File to which each head of the ledger's chain is added, best on storage of its own, where "
        "nothing is overwritten: a ledger that was cut short or written anew is found by it; none: no anchor.",
    )
    key: MachinePath | None = Field(
        default=None,
        description="File with the key of the digests; none: beside the SQLite file. Needed for PostgreSQL.",
    )
    keys: tuple[MachinePath, ...] = Field(
        default=(),
        description="Files of keys that the ledger had before, for look-ups; those that "
        "`retirement ledger rotate-key` left beside the key are found without it.",
    )
    postgresql_schema: Schema | None = Field(
        default=None,
        description="Schema of PostgreSQL that holds the ledger; it is made where it is missing, and several sites "
        "share a database by one each; none: the account's own.",
    )
    site: Text | None = Field(
        default=None,
        description="Name of the site that the ledger belongs to; none: the address of the LMS. A ledger of another "
        "site is refused.",
    )
    signing_key: MachinePath | None = Field(
        default=None,
        description="File with the Ed25519 key, in PEM, that signs the ledger's heads and certificates; it is made "
        "where it is missing; none: beside the key of the digests.",
    )
    sign_command: tuple[Text, ...] = Field(
        default=(),
        description="Command that signs instead of a file: it gets 32 bytes on standard input and answers with their "
        "Ed25519 signature, as 64 bytes, in hex or in base64. Needs `ledger.public_key`.",
    )
    public_key: MachinePath | None = Field(
        default=None, description="File with the public half of the key of `ledger.sign_command`, in PEM."
    )
    head_command: tuple[Text, ...] = Field(
        default=(),
        description="Command that gets each signed head as a line on standard input, for a time stamp or a copy "
        "elsewhere.",
    )
    head_url: Text | None = Field(
        default=None,
        description="Address to which signed heads are posted as lines; https:// unless it is on this machine. Heads "
        "that it does not take come with the next one. It is shown, so no secret is in it.",
    )
    text_days: int | None = Field(
        default=None,
        ge=30,
        le=36_500,
        description="Days after which reasons, bases of holds and evidence that people gave are taken out of the "
        "ledger, where nothing is in force any more that needs them; none: they stay.",
    )
