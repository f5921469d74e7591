//! What Redis does as one step. Lua, for Redis 6.2 and later.

use ::redis::{RedisResult, Script, aio::MultiplexedConnection};

use super::{
    parcel::Parcel,
    snapshot::{self, StreamSnapshot},
    stream::{Each, Id, Names, SHARDS},
};

/// Adds entries, if the broker still lives the incarnation that is expected: nothing goes to one that forgot what came before.
/// XADD would make a deleted stream anew, and hide that its entries are lost: the script ends the incarnation instead.
const PUBLISH: &str = "
local incarnation, filled = KEYS[1], KEYS[2]
if redis.call('GET', incarnation) ~= ARGV[1] then return 0 end
local at = 2
for entry = 3, #KEYS do
    local key, fields = KEYS[entry], tonumber(ARGV[at])
    if redis.call('SADD', filled, key) == 0 and redis.call('EXISTS', key) == 0 then
        redis.call('SREM', filled, key)
        redis.call('DEL', incarnation)
        return 0
    end
    redis.call('XADD', key, '*', unpack(ARGV, at + 1, at + fields))
    at = at + fields + 1
end
return 1
";

/// Makes sure of a group on each stream, and that it counts as reading. A new group begins at the beginning. One that was
/// there before in this incarnation was lost, and perhaps more with it; and one may have been away for so long that what it lacks
/// was cut off. Both begin at the end, and with a new incarnation everything that they lack is sent again, behind that end. The
/// same is true of a stream that is missing although it had entries: they are lost to each group, also to a new one.
const ARRIVE: &str = "
local incarnation, groups, cut, alive, filled = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, new_life, seconds = ARGV[1], ARGV[2], ARGV[3]
local function before(one, other)
    local millis, count = string.match(one, '(%d+)-(%d+)')
    local other_millis, other_count = string.match(other, '(%d+)-(%d+)')
    millis, other_millis = tonumber(millis), tonumber(other_millis)
    return millis < other_millis or (millis == other_millis and tonumber(count) < tonumber(other_count))
end
local function first_lacking(key)
    for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
        local named = {}
        for at = 1, #flat, 2 do named[flat[at]] = flat[at + 1] end
        if named['name'] == group then
            if named['pending'] > 0 then return redis.call('XPENDING', key, group)[2] end
            local millis, count = string.match(named['last-delivered-id'], '(%d+)-(%d+)')
            return millis .. '-' .. string.format('%.0f', tonumber(count) + 1)
        end
    end
end
local lost = false
for shard = 6, #KEYS do
    local key = KEYS[shard]
    if redis.call('EXISTS', key) == 0 and redis.call('SREM', filled, key) == 1 then lost = true end
    local made = redis.pcall('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
    local is_lost = not made.err and redis.call('SADD', groups, group .. ' ' .. key) == 0
    local cut_at = redis.call('HGET', cut, key)
    if is_lost or (cut_at and before(first_lacking(key), cut_at)) then
        redis.call('XGROUP', 'DESTROY', key, group)
        redis.call('XGROUP', 'CREATE', key, group, '$')
        lost = true
    end
end
redis.call('SET', alive, 1, 'EX', seconds)
if lost then redis.call('SET', incarnation, new_life) end
return lost and 1 or 0
";

/// Removes from a stream what only groups need that do not read now, if that is still so, and notes up to where.
const CUT: &str = "
local incarnation, cut, stream = KEYS[1], KEYS[2], KEYS[3]
if redis.call('GET', incarnation) ~= ARGV[1] then return 0 end
for absent = 4, #KEYS do
    if redis.call('EXISTS', KEYS[absent]) == 1 then return 0 end
end
redis.call('XTRIM', stream, 'MINID', ARGV[2])
redis.call('HSET', cut, stream, ARGV[2])
return 1
";

/// Tells how the streams are, at one moment. A stream that had entries and is missing must not look like one that is read
/// to its end: the script ends the incarnation, and each writer sends again what is above its position.
const LOOK: &str = "
local incarnation, filled = KEYS[1], KEYS[2]
local streams = tonumber(ARGV[1])
local function read(flat)
    local named = {}
    for at = 1, #flat, 2 do named[flat[at]] = flat[at + 1] end
    return named
end
local alive = {}
for key = streams + 3, #KEYS do table.insert(alive, redis.call('EXISTS', KEYS[key])) end
for shard = 3, streams + 2 do
    local key = KEYS[shard]
    if redis.call('EXISTS', key) == 0 and redis.call('SREM', filled, key) == 1 then redis.call('DEL', incarnation) end
end
local answer = { redis.call('GET', incarnation) or '', alive }
for shard = 3, streams + 2 do
    local key = KEYS[shard]
    local told = { '0-0', 0, 0 }
    if redis.call('EXISTS', key) == 1 then
        local stream = read(redis.call('XINFO', 'STREAM', key))
        told = { stream['last-generated-id'], stream['length'], redis.call('MEMORY', 'USAGE', key) }
        for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
            local group = read(flat)
            local first = ''
            if group['pending'] > 0 then first = redis.call('XPENDING', key, group['name'])[2] end
            table.insert(told, {
                group['name'], group['last-delivered-id'], group['pending'], first, group['lag'] or -1
            })
        end
    end
    table.insert(answer, told)
end
return answer
";

/// The scripts, with their sums.
#[derive(Debug)]
pub(super) struct Scripts {
    publish: Script,
    arrive: Script,
    cut: Script,
    look: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        let [publish, arrive, cut, look] = [PUBLISH, ARRIVE, CUT, LOOK].map(Script::new);
        Self { publish, arrive, cut, look }
    }
}

impl Scripts {
    /// Adds entries; returns whether the broker lives this incarnation, and so has taken them.
    pub(super) async fn publish(
        &self,
        connection: &mut MultiplexedConnection,
        names: &Names,
        incarnation: &str,
        parcels: &[Parcel],
    ) -> RedisResult<bool> {
        let mut call = self.publish.key(&names.incarnation);
        call.key(&names.filled).arg(incarnation);
        for parcel in parcels {
            call.key(&names.streams[parcel.shard]).arg(2 * parcel.fields.len());
            for (kind, json) in &parcel.fields {
                call.arg(kind).arg(json.as_slice());
            }
        }
        call.invoke_async(connection).await
    }

    /// Makes sure of a group on each stream, and that it counts as reading for so many seconds; returns whether it lacks
    /// something that the streams do not have any more, so that a new incarnation begins.
    pub(super) async fn arrive(
        &self,
        connection: &mut MultiplexedConnection,
        names: &Names,
        group: &str,
        new_life: &str,
        alive_seconds: usize,
    ) -> RedisResult<bool> {
        let mut call = self.arrive.key(&names.incarnation);
        call.key(&names.groups).key(&names.cut).key(names.alive(group));
        call.key(&names.filled).key(&names.streams);
        call.arg(group).arg(new_life).arg(alive_seconds);
        call.invoke_async(connection).await
    }

    /// Removes from a stream everything before an entry, if the broker lives this incarnation and these groups are still absent;
    /// returns whether it did.
    pub(super) async fn cut(
        &self,
        connection: &mut MultiplexedConnection,
        names: &Names,
        incarnation: &str,
        (shard, before): (usize, Id),
        absent: &[&str],
    ) -> RedisResult<bool> {
        let mut call = self.cut.key(&names.incarnation);
        call.key(&names.cut).key(&names.streams[shard]);
        for group in absent {
            call.key(names.alive(group));
        }
        call.arg(incarnation).arg(before.to_string());
        call.invoke_async(connection).await
    }

    /// Returns how the streams are, and which of these groups read.
    pub(super) async fn look(
        &self,
        connection: &mut MultiplexedConnection,
        names: &Names,
        groups: &[&'static str],
    ) -> RedisResult<StreamSnapshot> {
        let mut call = self.look.key(&names.incarnation);
        call.key(&names.filled).key(&names.streams).arg(SHARDS);
        for group in groups {
            call.key(names.alive(group));
        }
        snapshot::read(call.invoke_async(connection).await?, groups)
    }
}

/// Removes from each stream what is before its bound.
pub(super) async fn trim(
    connection: &mut MultiplexedConnection,
    names: &Names,
    bounds: &Each<Option<Id>>,
) -> RedisResult<()> {
    let mut calls = ::redis::pipe();
    for (stream, bound) in names.streams.iter().zip(bounds) {
        if let Some(bound) = bound {
            calls.cmd("XTRIM").arg(stream).arg("MINID").arg(bound.to_string()).ignore();
        }
    }
    if calls.is_empty() {
        return Ok(());
    }
    calls.query_async(connection).await
}
