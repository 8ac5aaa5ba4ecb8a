"""Who may connect: how many at a time, and how many a second, in total and from one address. Time is an argument."""

from __future__ import annotations

from dicomcore.limits import Limits

__all__ = ["Admission"]

UNAGREED = 64  # connections from one address that may be open beyond its associations while they are being agreed
KNOWN = 4096  # addresses beyond which those are forgotten that have nothing open


class _Bucket:
    """A rate: so many tokens a second, of which a second's worth may be saved up."""

    __slots__ = ("moment", "most", "rate", "tokens")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.tokens = self.most = max(1.0, rate)
        self.moment = now

    def take(self, now: float) -> bool:
        tokens = self.tokens + (now - self.moment) * self.rate
        if tokens > self.most:
            tokens = self.most
        self.moment = now
        admitted = tokens >= 1.0
        self.tokens = tokens - 1.0 if admitted else tokens
        return admitted


class _Address:
    __slots__ = ("association_count", "bucket", "connection_count")

    def __init__(self, bucket: _Bucket) -> None:
        self.bucket = bucket
        self.connection_count = self.association_count = 0


class Admission:
    """The books of one server. For one thread."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._all = _Bucket(limits.connection_rate, now)
        self._addresses: dict[str, _Address] = {}
        self.association_count = 0

    def connect(self, address: str, now: float) -> bool:
        """Whether a connection may be taken in: it is then counted until `leave`."""
        limits = self._limits
        known = self._addresses.get(address)
        if known is None:
            if len(self._addresses) >= KNOWN:
                self._forget(now)
            known = self._addresses[address] = _Address(_Bucket(limits.peer_connection_rate, now))
        if known.connection_count >= limits.peer_association_count + UNAGREED:
            return False
        if not (known.bucket.take(now) and self._all.take(now)):
            return False
        known.connection_count += 1
        return True

    def associate(self, address: str) -> bool:
        """Whether its association may stand: it is then counted until `leave`."""
        if self.bound(address):
            return False
        self.association_count += 1
        self._addresses[address].association_count += 1
        return True

    def bound(self, address: str) -> str:
        """What keeps one more association from there out; empty: nothing."""
        limits = self._limits
        if self.association_count >= limits.association_count:
            return f"Limits.association_count ({limits.association_count})"
        if self._addresses[address].association_count >= limits.peer_association_count:
            return f"Limits.peer_association_count ({limits.peer_association_count})"
        return ""

    def leave(self, address: str, *, associated: bool) -> None:
        """A connection has ended."""
        known = self._addresses[address]
        known.connection_count -= 1
        if associated:
            known.association_count -= 1
            self.association_count -= 1

    def _forget(self, now: float) -> None:
        """Addresses with nothing open whose rate has recovered: a new entry would be the same."""
        for address, known in list(self._addresses.items()):
            bucket = known.bucket
            if not known.connection_count and (now - bucket.moment) * bucket.rate + bucket.tokens >= bucket.rate:
                del self._addresses[address]
