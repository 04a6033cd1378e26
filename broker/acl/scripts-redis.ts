/**
 * The steps on sessions of `acl` topics that Redis takes as one.
 *
 *   session:<client>   hash    filter -> QoS; there is a session as long as this is there
 *   queue:<client>     stream  0-<n>: the messages the device has not acknowledged, n dense
 *   state:<client>     hash    lease: of the newest connection; sent: the highest n ever sent;
 *                              bytes: in the queue
 *   released:<client>  zset    identifiers of QoS 2 messages the device has received and not
 *                              released, in their order
 *   incoming:<client>  set     identifiers of QoS 2 messages it has sent and not released
 *   filter:<filter>    hash    client -> QoS, of those that queue for this filter
 *   levels             hash    beginning of a filter, level by level -> how many filters begin so
 *
 * A message finds its sessions here, through the filters that exist, so no process has
 * to know the sessions of the others. Keys are made up as they are needed: one Redis, not a Redis Cluster.
 */
export const SESSION_TTL_MS = 30 * 24 * 3_600_000
/** In the queue of one session; beyond it the oldest are dropped. */
export const MAX_QUEUED_MESSAGES = 1_000
export const MAX_QUEUED_BYTES = 16 * 1024 * 1024

const COMMON = `
local P = 'echo:acl:'
local call = redis.call
local KINDS = { 'session:', 'queue:', 'state:', 'released:', 'incoming:' }
local function keys (client)
  local found = {}
  for i, kind in ipairs(KINDS) do found[i] = P .. kind .. client end
  return found
end
local function renew (client, ttl)
  for _, key in ipairs(keys(client)) do call('pexpire', key, ttl) end
end
local function count (filter, step)
  local at = 0
  repeat
    at = string.find(filter, '/', at + 1, true)
    local level = at and string.sub(filter, 1, at - 1) or filter
    if call('hincrby', P .. 'levels', level, step) <= 0 then call('hdel', P .. 'levels', level) end
  until at == nil
end
local function link (filter, client, qos)
  if call('hset', P .. 'filter:' .. filter, client, qos) == 1 then count(filter, 1) end
end
local function unlink (filter, client)
  if call('hdel', P .. 'filter:' .. filter, client) == 1 then count(filter, -1) end
end
local function drop (client, id, payload)
  call('xdel', P .. 'queue:' .. client, id)
  -- Not -#payload: of an empty one that is -0, which is no integer to HINCRBY.
  call('hincrby', P .. 'state:' .. client, 'bytes', 0 - #payload)
end
local function fenced (client, lease)
  return tonumber(call('hget', P .. 'state:' .. client, 'lease') or '0') > tonumber(lease)
end
`

/** client, ttl, then filter and QoS by turns. */
const SUBSCRIBE = COMMON + `
local client = ARGV[1]
for i = 3, #ARGV, 2 do
  call('hset', P .. 'session:' .. client, ARGV[i], ARGV[i + 1])
  if ARGV[i + 1] == '0' then unlink(ARGV[i], client) else link(ARGV[i], client, ARGV[i + 1]) end
end
renew(client, ARGV[2])
`

/** client, then filters. What is queued already is still delivered. */
const UNSUBSCRIBE = COMMON + `
local client = ARGV[1]
for i = 2, #ARGV do
  call('hdel', P .. 'session:' .. client, ARGV[i])
  unlink(ARGV[i], client)
end
`

/** client. A clean session leaves nothing of an earlier one [MQTT-3.1.2-6]. */
const FORGET = COMMON + `
local client = ARGV[1]
for _, filter in ipairs(call('hkeys', P .. 'session:' .. client)) do unlink(filter, client) end
call('del', unpack(keys(client)))
`

/**
 * topic, payload, QoS, maximum of messages and of bytes, publisher and identifier (QoS 2, else empty), ttl.
 * Puts a message into the queue of every session that has subscribed to it, with the highest QoS its
 * filters grant, once. A QoS 2 message that was here already is not queued again [MQTT-4.3.3-2].
 */
const ENQUEUE = COMMON + `
local topic, payload, qos, publisher = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[6]
if publisher ~= '' then
  if call('sadd', P .. 'incoming:' .. publisher, ARGV[7]) == 0 then return 0 end
  call('pexpire', P .. 'incoming:' .. publisher, ARGV[8])
end
local levels = {}
for level in string.gmatch(topic .. '/', '([^/]*)/') do levels[#levels + 1] = level end
local granted = {}
local function visit (filter)
  local clients = call('hgetall', P .. 'filter:' .. filter)
  for i = 1, #clients, 2 do
    local client, at_most = clients[i], tonumber(clients[i + 1])
    if call('exists', P .. 'session:' .. client) == 0 then
      unlink(filter, client) -- it has expired
    elseif at_most > (granted[client] or 0) then
      granted[client] = at_most
    end
  end
end
local function match (beginning, depth)
  visit(beginning .. '#')
  for _, level in ipairs({ levels[depth], '+' }) do
    local node = beginning .. level
    if call('hexists', P .. 'levels', node) == 1 then
      if depth == #levels then
        visit(node)
        visit(node .. '/#')
      else
        match(node .. '/', depth + 1)
      end
    end
  end
end
match('', 1)
for client, at_most in pairs(granted) do
  local queue, state = P .. 'queue:' .. client, P .. 'state:' .. client
  call('xadd', queue, '0-*', 'topic', topic, 'payload', payload, 'qos', math.min(qos, at_most))
  local bytes = call('hincrby', state, 'bytes', #payload)
  local length = call('xlen', queue)
  while length > tonumber(ARGV[4]) or bytes > tonumber(ARGV[5]) do
    local oldest = call('xrange', queue, '-', '+', 'count', 1)[1]
    if oldest == nil then break end
    drop(client, oldest[1], oldest[2][4])
    length, bytes = length - 1, bytes - #oldest[2][4]
  end
  local ttl = call('pttl', P .. 'session:' .. client)
  if ttl > 0 then
    call('pexpire', queue, ttl)
    call('pexpire', state, ttl)
  end
end
return 0
`

/**
 * client, lease, ttl. A connection begins: returns the identifiers to be released, or false when a
 * newer connection has begun.
 */
const OPEN = COMMON + `
if fenced(ARGV[1], ARGV[2]) then return false end
call('hset', P .. 'state:' .. ARGV[1], 'lease', ARGV[2])
renew(ARGV[1], ARGV[3])
return call('zrange', P .. 'released:' .. ARGV[1], 0, -1)
`

/**
 * client, lease, n, maximum of messages and of bytes. Returns what comes after n: the highest n sent
 * before, then n, topic, payload and QoS by turns.
 */
const READ = COMMON + `
local client, state = ARGV[1], P .. 'state:' .. ARGV[1]
if fenced(client, ARGV[2]) then return false end
local sent, bytes = tonumber(call('hget', state, 'sent') or '0'), 0
local found = { sent }
for _, entry in ipairs(call('xrange', P .. 'queue:' .. client, '(0-' .. ARGV[3], '+', 'count', ARGV[4])) do
  local n, fields = string.match(entry[1], '%-(%d+)$'), entry[2]
  bytes = bytes + #fields[4]
  if bytes > tonumber(ARGV[5]) and #found > 1 then break end
  sent = math.max(sent, tonumber(n))
  for _, value in ipairs({ n, fields[2], fields[4], fields[6] }) do found[#found + 1] = value end
end
if #found > 1 then call('hset', state, 'sent', sent) end
return found
`

/**
 * client, lease, n (empty when unknown), identifier to remember as received (else empty), identifier
 * that is done with (else empty).
 */
const SETTLE = COMMON + `
local client, n, received, done = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
if fenced(client, ARGV[2]) then return false end
if n ~= '' then
  local entry = call('xrange', P .. 'queue:' .. client, '0-' .. n, '0-' .. n)[1]
  if entry ~= nil then drop(client, entry[1], entry[2][4]) end
end
if received ~= '' then
  call('zadd', P .. 'released:' .. client, n, received)
  local ttl = call('pttl', P .. 'session:' .. client)
  if ttl > 0 then call('pexpire', P .. 'released:' .. client, ttl) end
end
if done ~= '' then call('zrem', P .. 'released:' .. client, done) end
return 1
`

/** client, ttl. Whether the session is there, and the highest n ever queued. */
const RENEW = COMMON + `
renew(ARGV[1], ARGV[2])
local last = 0
if call('exists', P .. 'queue:' .. ARGV[1]) == 1 then
  local about = call('xinfo', 'stream', P .. 'queue:' .. ARGV[1])
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then last = tonumber(string.match(about[i + 1], '%-(%d+)$')) end
  end
end
return { call('exists', P .. 'session:' .. ARGV[1]), last }
`

/** broker, client. Takes the will; false when another process has taken it. */
const TAKE_WILL = `
local key = 'echo:acl:wills:' .. ARGV[1]
local will = redis.call('hget', key, ARGV[2])
redis.call('hdel', key, ARGV[2])
return will
`

export const SCRIPTS = {
  aclSubscribe: SUBSCRIBE,
  aclUnsubscribe: UNSUBSCRIBE,
  aclForget: FORGET,
  aclEnqueue: ENQUEUE,
  aclOpen: OPEN,
  aclRead: READ,
  aclSettle: SETTLE,
  aclRenew: RENEW,
  aclTakeWill: TAKE_WILL
} as const
