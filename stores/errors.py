"""What a store can answer instead of success. Backends translate their own errors to these.

StoreError
+-- NotFound            no such object or record
+-- Conflict            a conditional write lost: somebody else was first, or a step is not allowed
+-- Unavailable         the backend did not answer; trying again may help
    +-- TimedOut        not in time
    +-- Throttled       it asks for fewer requests; retries within the budget did not help
    +-- Denied          it refuses this service: an operator has to mend credentials or rights
"""


class StoreError(Exception):
    pass


class NotFound(StoreError):
    def __init__(self, what: str) -> None:
        super().__init__(f"{what} does not exist")
        self.what = what


class Conflict(StoreError):
    pass


class Unavailable(StoreError):
    pass


class TimedOut(Unavailable):
    pass


class Throttled(Unavailable):
    pass


class Denied(Unavailable):
    pass
