-- The queue: joining it, and handing a free lock to its first. Included, after grant.lua, where a script needs it.

-- Tells the owner of a token. Returns how many heard it: nobody, if the token is another program's, which looks as
-- it likes and names no inbox.
local function tell(token, message)
  if inboxes == '' or #token ~= 49 or string.sub(token, 17, 17) ~= '.' then return 0 end
  return call('PUBLISH', inboxes .. string.sub(token, 1, 16), message)
end

-- Places and texts of the entries of the token that asks, as far as they are near an end of the queue (S6). An entry
-- that its owner does not know exactly, because an answer was lost, is mostly new or old.
local function entries_of_mine()
  local found = {}
  for _, from in ipairs({ 0, math.max(512, call('LLEN', queue) - 512) }) do
    for at, entry in ipairs(call('LRANGE', queue, from, from + 511)) do
      if string.sub(entry, -#me) == me then found[#found + 1] = { from + at - 1, entry } end
    end
  end
  return found
end

-- Where the entry of the token that asks stands in the queue, or nil. One that is found nowhere is made anew: where it is
-- there all the same it is an entry too many, which is taken back when it is granted.
local function place_of_mine(claim, mode, known)
  local place = call('LPOS', queue, digits(known) .. ':' .. claim .. ':' .. mode .. ':' .. me)
  if place then return place end
  local first = entries_of_mine()[1]
  return first and first[1]
end

-- For how many milliseconds an entry counts as alive. With messages a process that is gone is noticed at once, and the
-- time only bounds what a cluster or a client without messages has to wait for it.
local lives_for = { m = 15000, p = 3000 }

-- Puts the token that asks into the queue, or lets its entry live on. Returns the entry's deadline in milliseconds,
-- whether the entry is the first, and whether it is a new one though the one before had not come to its deadline.
local function stand_in_line(claim, mode, known)
  local lives = lives_for[mode]
  local present = math.floor(now / 1000)
  local deadline = present + lives
  local entry = digits(deadline) .. ':' .. claim .. ':' .. mode .. ':' .. me
  local place = known and place_of_mine(claim, mode, known)
  local dropped = not place and known and known > present and known - present <= lives_for.m
  if not place then
    place = call('RPUSH', queue, entry) - 1
  elseif known - present < lives / 2 or known - present > lives then
    call('LSET', queue, place, entry)
  else
    deadline = known
  end
  -- Longer than any entry lives, so that a queue whose processes are all gone disappears.
  call('PEXPIRE', queue, '60000')
  return deadline, place == 0, dropped
end

-- Whether an entry's process may be there still. A deadline that is further away than any is written was so before the
-- clock was set back.
local function lives_on(deadline, mode)
  local lives = lives_for[mode]
  return lives and deadline * 1000 >= now and deadline * 1000 <= now + 2000 * lives
end

-- Grants a free lock to the first in the queue who is there to take it (S3). Returns its token and number, or
-- nothing: then the queue is empty, or its first comes for the lock by itself, or the dead before it are too many for
-- one call (S6), which has then none left to drop.
--
-- The lease is the one that the entry asks for. `whole` is that of the token that asks, which hears of it at once.
local function promote(first, whole)
  local entries, at, dead, unheard = { first }, 1, 0, false
  while entries[at] do
    local deadline, claim, mode, token = string.match(entries[at], '^(%d+):(%d+):(%a):(.+)$')
    local alive = token and lives_on(tonumber(deadline), mode)
    local comes = alive and token ~= me and (mode == 'p' or inboxes == '')
    -- Where one was gone more may be: they are looked for before they are granted anything, which is cheaper.
    if unheard and alive and not comes and token ~= me then alive = tell(token, 'there') > 0 end
    if alive then
      if dead > 0 then call('LPOP', queue, dead) end
      if comes then return end
      -- Before it is told (S4).
      local number = own(token, token == me and whole or claim)
      call('LPOP', queue)
      local message = { 'granted', digits(number), digits(now), call('LLEN', queue), token, lock }
      if token == me or tell(token, table.concat(message, ':')) > 0 then return token, number end
      -- Nobody listens: that process is gone, and so is its place.
      call('DEL', lock)
      dead, unheard = 0, true
    else
      dead = dead + 1
    end
    at, may_drop = at + 1, may_drop - 1
    if not entries[at] then
      if dead > 0 then call('LPOP', queue, dead) end
      if may_drop <= 0 then return end
      entries, at, dead = call('LRANGE', queue, '0', '63'), 1, 0
    end
  end
end
