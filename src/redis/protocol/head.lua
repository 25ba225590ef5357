-- The beginning of every script. What follows says what is done for one lock; `several.lua` makes a function of that, and
-- calls it for each.
--
-- A call is for any number of locks, of which each has
-- KEYS   the lock: a plain string, the owner's token, which expires with the lease
--        the queue: a list of entries "deadline:ttl:mode:token", first come, first served
--        then once for all of them, where a script may grant one,
--        the fence: a counter, the number of the latest grant of any lock
-- ARGV   1 the beginning of every inbox's name, or nothing if this client may not publish
--        then for each lock the token of whoever asks; up to the first dot it names its inbox
--        then what is said once for all of them, which each script lists
-- Answer of one lock its own, of several a list of theirs, in which an error is that of one lock alone.
--
-- What is kept true, by every script, since each runs alone:
--   S1  A lock is taken only while it is free, and only its owner's token extends, frees or hands it on.
--   S2  Every grant has a number above those of all grants before it, also if the clock went back.
--   S3  Nobody is granted a free lock while somebody who is alive stands before it in the queue.
--   S4  A script that fails has told nobody of a grant that it has not made, and has changed nothing that its caller
--       does not undo: reads come before writes, and a grant is made before it is told.
--   S5  What is done for one lock does not depend on those that are asked for beside it. (But that a server whose memory
--       is full refuses only the first write of a script.)
--   S6  A call looks at a bounded number of the queue's entries, however long the queue is: the dead that it may drop, and
--       some at each end. (But that the server compares one text with every entry, a hundred thousand in a millisecond.)
--
-- What a script does when nobody waits comes first, and what it needs besides is included after it: a server makes
-- everything that a script defines each time that it runs. For the same reason an answer of one number is no list, and a
-- number that a command is given is written as a text.

local call = redis.call
local inboxes = ARGV[1]
-- How many dead entries this call may drop still.
local may_drop = 512
