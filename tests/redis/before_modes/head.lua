-- The beginning of every script. The rest of a script says what is done for one lock; `several.lua` makes a function of
-- that part, and calls it for each lock.
--
-- A call is for any number of locks. Each lock has
-- KEYS   the lock: a string, the owner's token, which expires with the lease
--        the wait queue: a list of entries "deadline:ttl:mode:token", served in order
--        then once for all locks, in scripts that may grant one,
--        the fence: a counter, the number of the latest grant of any lock
-- ARGV   1 what the names of all inboxes begin with; empty if this client may not publish
--        then for each lock the token of the caller; the part before its dot names the caller's inbox
--        then arguments for all locks, which each script lists
-- Answer for one lock its answer; for several a list of their answers, in which an error is that of one lock alone.
--
-- Invariants, kept by every script, each of which runs atomically:
--   S1  A lock is taken only while it is free, and only its owner's token extends it, frees it or hands it over.
--   S2  Every grant has a number above those of all grants before it, also if the server's clock went back.
--   S3  A free lock is not granted to a caller while the entry of a live waiter is before that caller in the queue.
--   S4  A script that fails has notified no process of a grant that it has not made, and has changed nothing that its
--       caller does not cancel: reads come before writes, and a grant is made before it is published.
--   S5  What is done for one lock does not depend on the other locks of the call. The exception: a server whose memory is
--       full refuses only the first write of a script.
--   S6  A call looks at a bounded number of the queue's entries, however long the queue is: the dead ones that it may
--       remove, and some at each end. The exception: to find one entry the server compares a text with every entry, which
--       takes a millisecond for a hundred thousand.
--
-- Speed: a server runs every definition of a script each time it is called. So what a script does without waiters comes
-- first, and what it needs with them is included after that. For the same reason an answer of one number is not a list, and
-- a number that is passed to a command is written as a string.

local call = redis.call
local inboxes = ARGV[1]
-- How many more dead entries this call may remove.
local removals_left = 512
