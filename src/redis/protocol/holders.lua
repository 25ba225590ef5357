-- Locks that several may hold together: the holders, each with a lease of its own. Included after grant.lua.

-- As keys.rs makes it, where the call does not name it.
holders = holders or string.sub(queue, 1, -3) .. '{h}:q'

-- Milliseconds since 1970. A holder is one as long as its score is above this.
local present = math.floor(now / 1000)

-- Scores below this are numbers of permits, those above it ends of leases.
local ends_from = 1048576

-- The mode of a token, 'x' (exclusive), 's' (shared) or 'p' (permits), and how many permits there are for it.
local function mode_of(token)
  local letter = #token == 49 and string.sub(token, 18, 18)
  if letter == 's' then return 's' end
  if letter == 'p' then return 'p', tonumber(string.sub(token, 19, 23), 16) or 0 end
  return 'x'
end

-- How the lock is held: 'x' is one owner, or another program; 's' and 'p' are the holders; nil is none. The number of the
-- phase, in which holders share the lock; how many hold a permit; and whether holders were looked for whose leases are over.
local held, phase, live, is_clean

-- Finds out how the lock is held. Returns its value. The holders count only while the lock has their marker (S1): they may be
-- left from a phase whose key is gone. A marker without holders excludes everybody, as the value of another program does.
local function look()
  local value = call('GET', lock)
  held, phase, live, is_clean = value and 'x', nil, 0, false
  if not value then return end
  if value == 'permits' then
    live = call('ZCOUNT', holders, '(' .. digits(present), '+inf')
    if live > 0 then held = 'p' end
  else
    phase = tonumber(string.match(value, '^shared:(%d+)$'))
    if phase and call('ZCOUNT', holders, '(' .. digits(present), '+inf') > 0 then held = 's' end
  end
  return value
end

-- The end of the lease of a holder that is one still.
local function lease_end(token)
  if held ~= 's' and held ~= 'p' then return end
  local ends = tonumber(call('ZSCORE', holders, token) or '')
  return ends and ends > present and ends or nil
end

-- Lets the lock last as long as its longest holder. Without one it is free. The holders' key lasts as long.
local function settle()
  local last = call('ZRANGE', holders, '-1', '-1', 'WITHSCORES')
  local left = last[2] and tonumber(last[2]) - present or 0
  if left > 0 then
    call('PEXPIRE', lock, digits(left))
    call('PEXPIRE', holders, digits(left))
  else
    call('DEL', lock)
    call('UNLINK', holders)
    held = nil
  end
end

-- Lets the lock, and the key of its holders, last for this lease at least. Both are allowed when the server's memory is full,
-- and after them the rest of the script is as well.
local function last_for(lease)
  local longest = digits(math.max(call('PTTL', lock), lease))
  call('PEXPIRE', lock, longest)
  call('PEXPIRE', holders, longest)
end

-- Removes holders whose leases are over, as many as this call may (S6). Returns whether none is left.
local function clean()
  while not is_clean and removals_left > 0 do
    local most = math.min(removals_left, 256)
    local over = call('ZRANGE', holders, digits(ends_from), digits(present), 'BYSCORE', 'LIMIT', '0', digits(most))
    if #over > 0 then
      local members = {}
      for _, token in ipairs(over) do
        members[#members + 1] = token
        if held == 'p' then members[#members + 1] = '#' .. token end
      end
      call('ZREM', holders, unpack(members))
      removals_left = removals_left - #over
    end
    is_clean = #over < most
  end
  return is_clean
end

-- Whether the lock may be held in this mode beside its holders. It is no if holders whose leases are over could not all be
-- removed, and removals_left is used up.
local function has_room(mode, permits)
  if not held then return mode ~= 'p' or permits > 0 end
  if mode ~= held or mode == 'x' then return false end
  return mode == 's' or live < permits and clean()
end

-- The lowest permit that no token holds. The numbers have the lowest ranks in the order of the scores, and as long as none is
-- missing the number at each rank is that rank.
local function free_permit()
  local function is_missing_until(rank)
    local entry = call('ZRANGE', holders, rank, rank, 'WITHSCORES')
    return tonumber(entry[2] or ends_from) ~= rank
  end
  if live == 0 or not is_missing_until(live - 1) then return live end
  local low, high = 0, live - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_missing_until(middle) then high = middle else low = middle + 1 end
  end
  return low
end

-- Makes a token a holder of a lock that has room for it. Returns the number of this grant, and that of its permit. Memory that
-- is full refuses the first write (S4).
local function grant_beside(token, mode, ttl)
  if mode == 'x' then
    held = 'x'
    return grant(token, ttl)
  end
  -- What is left from before a phase has no meaning any more. The command that finds it refuses a key of another type.
  local is_left = not held and call('ZCOUNT', holders, '-inf', '+inf') > 0
  local number, permit = phase, nil
  if held ~= 's' then number = grant() end
  if not held then
    if is_left then call('UNLINK', holders) end
    call('SET', lock, mode == 's' and 'shared:' .. digits(number) or 'permits', 'PX', ttl)
    held, phase, live, is_clean = mode, number, 0, true
  end
  local ends = digits(present + tonumber(ttl))
  if mode == 'p' then
    permit = free_permit()
    call('ZADD', holders, ends, token, permit, '#' .. token)
    live = live + 1
  else
    call('ZADD', holders, ends, token)
    -- Without this those that are dead would stay for as long as others hold the lock.
    clean()
  end
  last_for(tonumber(ttl))
  return number, permit
end

-- Takes the lock from a holder, or from the only owner. With `keep` it stays taken for so long, without a holder: no token is the
-- name that the holder then has, or the value of the lock.
local function remove(token, keep)
  if held == 'x' then
    if keep then
      call('PEXPIRE', lock, keep)
      call('SET', lock, 'kept', 'PX', keep)
    else
      call('DEL', lock)
      held = nil
    end
    return
  end
  local permit = held == 'p' and call('ZSCORE', holders, '#' .. token)
  if not keep and call('ZCOUNT', holders, '-inf', '+inf') == (permit and 2 or 1) then
    -- The last one: nothing is read afterwards. A server of a cluster that is moving the slot stops a script which looks for a
    -- key that it has just removed, and the lock would stay without a holder until its end.
    call('DEL', lock)
    call('UNLINK', holders)
    held, live = nil, 0
    return
  end
  if keep then
    -- Before the other is removed, for the same reason: the key is there at any time.
    call('ZADD', holders, digits(present + tonumber(keep)), 'kept:' .. token)
    if permit then call('ZADD', holders, permit, '#kept:' .. token) end
  else
    live = live - 1
  end
  call('ZREM', holders, token, '#' .. token)
  settle()
end
