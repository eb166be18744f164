"""The numbers that order BullMQ's queue, and how a title's are changed.

A number is level + bucket, lowest first. A title job has the bucket 0 of its level, so that
planning and joining go before tasks; a task has 1 + its urgency. What has equal numbers runs in
the order in which it came.

The level of a title is the priority of its title job, as BullMQ keeps it in the job's hash and
uses it whenever the job or one of its tasks is put back. A script changes it together with that
of every task there is, so nobody sees them differ. Tasks that are being added meanwhile may have
been given the old level: whoever adds them has the script run once more at the end, which is
also done again after a crash.
"""

from dataclasses import dataclass
from typing import Any

from media.asset import Priority
from stores.jobs.connection import Client

LEVEL = {Priority.HIGH: 1000, Priority.NORMAL: 2000, Priority.LOW: 3000}
LEVEL_WIDTH = 1000
MOST_URGENT_BUCKETS = 900  # beyond it all tasks of a level are first come, first served

# The score in the sorted set `prioritized` is priority * 2^32 + a counter, as in BullMQ's
# addJobWithPriority. A job that is not in it is running, or waits for its time: it needs the
# number alone. Keys of tasks follow from the title's, all in one slot.
_SET_LEVEL = """
local title, prioritized, counter = KEYS[1], KEYS[2], KEYS[3]
local queue, id, level = ARGV[1], ARGV[2], tonumber(ARGV[3])
local width = tonumber(ARGV[4])
local old = tonumber(redis.call("HGET", title, "priority"))
if not old then return 0 end
level = level or old

local function renumber(job)
  redis.call("HSET", queue .. job.id, "priority", job.priority)
  if job.score then
    local n = redis.call("INCR", counter) % 0x100000000
    redis.call("ZADD", prioritized, job.priority * 0x100000000 + n, job.id)
  end
end

local changed = {}
local function look(job_id)
  local now = tonumber(redis.call("HGET", queue .. job_id, "priority"))
  if now and now - now % width ~= level then
    local score = tonumber(redis.call("ZSCORE", prioritized, job_id))
    table.insert(changed, {id = job_id, priority = level + now % width, score = score})
  end
end

look(id)
for _, key in ipairs(redis.call("SMEMBERS", title .. ":dependencies")) do
  look(string.sub(key, #queue + 1))
end
table.sort(changed, function(a, b) return (a.score or 0) < (b.score or 0) end)
for _, job in ipairs(changed) do renumber(job) end
return #changed
"""


# Within a bucket the first came first. Of what has run before nobody knows when it came back.
_WAITING_SINCE = """
local prioritized, queue = KEYS[1], ARGV[1]
local first, after = tonumber(ARGV[2]) * 0x100000000, tonumber(ARGV[3]) * 0x100000000
local oldest = false
while true do
  local range = {string.format("%.0f", first), "(" .. string.format("%.0f", after)}
  local ids = redis.call(
    "ZRANGEBYSCORE", prioritized, range[1], range[2], "WITHSCORES", "LIMIT", 0, ARGV[4])
  if not ids[1] then return oldest end
  local bucket = math.floor(tonumber(ids[2]) / 0x100000000)
  for n = 1, #ids, 2 do
    local job = redis.call("HMGET", queue .. ids[n], "timestamp", "processedOn")
    if math.floor(tonumber(ids[n + 1]) / 0x100000000) ~= bucket then break end
    if job[1] and not job[2] then
      if not oldest or tonumber(job[1]) < oldest then oldest = tonumber(job[1]) end
      break
    end
  end
  first = (bucket + 1) * 0x100000000
end
"""
LOOKED_AT = 16  # of a bucket, until one is found that has not run before


def number(level: int, urgency: int) -> int:
    return level + 1 + min(urgency, MOST_URGENT_BUCKETS)


@dataclass(frozen=True, slots=True)
class Levels:
    """Of the titles of one queue, whose keys begin with `queue`."""

    redis: Client
    queue: str

    async def of(self, title_id: str) -> int | None:
        """None: there is no such job."""
        priority: Any = await self.redis.hget(self.queue + title_id, "priority")
        return None if priority is None else int(priority)

    async def set(self, title_id: str, level: int | None) -> None:
        """Of the title job and all its tasks; None: give the tasks the level of the title job."""
        keys = (title_id, "prioritized", "pc")
        arguments = (self.queue, title_id, "" if level is None else level, LEVEL_WIDTH)
        script = self.redis.register_script(_SET_LEVEL)
        await script(keys=[self.queue + key for key in keys], args=[*arguments])

    async def waiting(self, level: int) -> int:
        first = level << 32
        after = (level + LEVEL_WIDTH) << 32
        return await self.redis.zcount(f"{self.queue}prioritized", first, f"({after}")

    async def waiting_since_ms(self, level: int) -> int | None:
        """When the oldest came that has not been begun; None: there is none."""
        script = self.redis.register_script(_WAITING_SINCE)
        arguments = (self.queue, level, level + LEVEL_WIDTH, LOOKED_AT)
        since: int | None = await script(keys=[f"{self.queue}prioritized"], args=[*arguments])
        return since
