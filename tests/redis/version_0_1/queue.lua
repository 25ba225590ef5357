-- The queue: joining it, and handing a free lock to its first. Included, after grant.lua, where a script needs it.

-- Tells the owner of a token. Returns how many heard it: nobody, if the token is another program's, which looks as
-- it likes and names no inbox.
local function tell(token, message)
  if inboxes == '' or #token ~= 49 or string.sub(token, 17, 17) ~= '.' then return 0 end
  return call('PUBLISH', inboxes .. string.sub(token, 1, 16), message)
end

-- Where the entry of whoever asks stands in the queue, or nil. Its deadline may be another than the one that the
-- asker knows, if an answer was lost.
local function place_of_mine(ttl, mode, known)
  local place = call('LPOS', queue, digits(known) .. ':' .. ttl .. ':' .. mode .. ':' .. me)
  if place then return place end
  for at, entry in ipairs(call('LRANGE', queue, '0', '-1')) do
    if string.sub(entry, -#me) == me then return at - 1 end
  end
end

-- For how many milliseconds an entry counts as alive. With messages a process that is gone is noticed at once, and the
-- time only bounds what a cluster or a client without messages has to wait for it.
local lives_for = { m = 15000, p = 3000 }

-- Puts whoever asks into the queue, or lets its entry live on. Returns the entry's deadline in milliseconds, and
-- whether the entry is the first.
local function stand_in_line(ttl, mode, known)
  local lives = lives_for[mode]
  local present = math.floor(now / 1000)
  local deadline = present + lives
  local entry = digits(deadline) .. ':' .. ttl .. ':' .. mode .. ':' .. me
  local place = known and place_of_mine(ttl, mode, known)
  if not place then
    place = call('RPUSH', queue, entry) - 1
  elseif known - present < lives / 2 or known - present > lives then
    call('LSET', queue, place, entry)
  else
    deadline = known
  end
  -- Longer than any entry lives, so that a queue whose processes are all gone disappears.
  call('PEXPIRE', queue, '60000')
  return deadline, place == 0
end

-- Whether an entry's process may be there still. A deadline that is further away than any is written was so before the
-- clock was set back.
local function lives_on(deadline, mode)
  local lives = lives_for[mode]
  return lives and deadline * 1000 >= now and deadline * 1000 <= now + 2000 * lives
end

-- Grants a free lock to the first in the queue who is there to take it (S3). Returns its token and number, or
-- nothing if nobody could be told: then either the queue is empty, or its first comes for the lock by itself.
local function promote(first)
  while first do
    local deadline, ttl, mode, token = string.match(first, '^(%d+):(%d+):(%a):(.+)$')
    if token and lives_on(tonumber(deadline), mode) then
      if token ~= me and (mode == 'p' or inboxes == '') then return end
      -- Before it is told (S4).
      local number = own(token, ttl)
      call('LPOP', queue)
      local message = { 'granted', digits(number), digits(now), call('LLEN', queue), token, lock }
      if token == me or tell(token, table.concat(message, ':')) > 0 then return token, number end
      -- Nobody listens: that process is gone, and so is its place.
      call('DEL', lock)
    else
      call('LPOP', queue)
    end
    first = call('LINDEX', queue, '0')
  end
end
