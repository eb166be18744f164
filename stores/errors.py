"""What a store can answer instead of success. Backends translate their own errors to these.

StoreError
+-- NotFound            no such object or record
+-- Conflict            a conditional write lost: somebody else was first, or a step is not allowed
+-- Unavailable         the backend did not answer; trying again may help
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
