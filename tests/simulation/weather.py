"""What goes wrong on the wire, from a seed: single faults at a rate, and whole services out for a while."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

#: Faults that pass by themselves: alone they must never end in ERRORED.
PASSING = (
    "lose-request", "lose-reply", "no-connection", "duplicate", "slow-work", "straggler", "hang", "429", "429-seconds",
    "429-long", "429-past-date", "429-far-date", "500", "500-done", "502", "503", "503-seconds", "504-done", "408",
    "cut", "partial", "401",
)  # fmt: skip
#: Faults that say that the site is set up wrongly: the run stops and harms nobody.
MISCONFIGURED = ("403", "404-page", "login-page", "301", "405")
#: Answers that a learner may be ERRORED for.
REFUSING = ("409", "400", "not-json", "failed-replacements")
#: 2xx of a proxy, at any route, without the work. Not among them: what is a service's own word for success there.
FALSE = (("200-empty", "202-empty", "206-empty"), ("202-page", "202-text", "200-braces", "202-foreign", "200-failure"))
#: What becomes of a move to COMPLETE: it is not made, or made and not heard of, or made long after.
LOST_COMPLETE = ("204-unmade", "202-empty", "lose-request", "lose-reply", "500-done", "straggler")

#: The ways in which a whole service is out, and whether that is an outage or a wrong set-up.
OUTAGES = ("no-connection", "hang", "503", "502", "lose-request", "404-page", "403", "login-page")


@dataclass(frozen=True, slots=True)
class Outage:
    """One service answers everything the same way for a while; seconds of virtual time."""

    app: str
    kind: str
    start: float
    end: float


@dataclass
class Weather:
    """The faults of one seed. After `clears` there are none."""

    kinds: tuple[str, ...] = ()
    rate: float = 0.0
    clears: float = 0.0
    outages: tuple[Outage, ...] = ()
    token_lifetime: float = 3600.0
    latency: float = 0.2
    #: False 2xx and how often, and what becomes of half of the moves to COMPLETE; "" nothing.
    lies: tuple[str, ...] = ()
    lie_rate: float = 0.0
    complete: str = ""
    happened: dict[str, int] = field(default_factory=dict)

    @property
    def refuses(self) -> bool:
        """Whether learners may end ERRORED."""
        return bool(self.lies) or any(kind in REFUSING for kind in self.kinds)

    def strike(self, app: str, now: float, random: Random, *, completes: bool) -> str | None:
        """The fault that hits this request, if one does. Asks the generator equally often whatever comes out.

        `completes`: it is a move to COMPLETE.
        """
        dice, which, lie = random.random(), random.random(), random.random()
        if self.complete and completes and now < self.clears and lie < 0.5:
            return self._note(self.complete)
        if self.lies and now < self.clears and lie < self.lie_rate:
            return self._note(self.lies[int(which * len(self.lies))])
        for outage in self.outages:
            if outage.app == app and outage.start <= now < outage.end:
                return self._note(outage.kind)
        if self.kinds and now < self.clears and dice < self.rate:
            return self._note(self.kinds[int(which * len(self.kinds))])
        return None

    def _note(self, kind: str) -> str:
        self.happened[kind] = self.happened.get(kind, 0) + 1
        return kind


def forecast(random: Random, lying: Random, apps: list[str], days: float) -> Weather:
    """The weather of one seed; `lying` draws what is told of work that was not done."""
    clears = days * 86400.0
    pool = list(PASSING)
    if random.random() < 0.2:
        pool += MISCONFIGURED
    refusing = random.random() < 0.15
    kinds = tuple(random.sample(pool, k=random.randint(1, 5))) + (tuple(random.sample(REFUSING, 1)) if refusing else ())
    rate = random.choice((0.0, 0.02, 0.05, 0.1, 0.2, 0.35))
    return Weather(
        kinds=kinds if rate else (),
        rate=rate,
        clears=clears,
        outages=tuple(_outages(random, apps, clears)),
        token_lifetime=random.choice((45.0, 300.0, 3600.0)),
        latency=random.choice((0.02, 0.2, 2.0)),
        lies=tuple(map(lying.choice, FALSE)) if lying.random() < 0.2 else (),
        lie_rate=lying.choice((0.05, 0.15, 0.3)),
        complete=lying.choice(LOST_COMPLETE) if lying.random() < 0.2 else "",
    )


def _outages(random: Random, apps: list[str], clears: float) -> Iterator[Outage]:
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        # Most begin while a run is under way: those start within minutes of the nights.
        start = random.choice((random.uniform(0, 300), random.uniform(0, clears)))
        length = random.choice((60.0, 900.0, 3600.0, 14400.0))
        yield Outage(random.choice(apps), random.choice(OUTAGES), start, min(start + length, clears))
