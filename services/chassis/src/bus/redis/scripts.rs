//! What Redis does as one step. Lua, for Redis 6.2 and later.

use ::redis::{
    RedisResult, Script,
    aio::{ConnectionLike, MultiplexedConnection},
};

use super::{
    look::{self, Look},
    parcel::Parcel,
    stream::{Each, Names},
};

/// Adds entries, if the broker still lives the life that is expected: nothing goes to one that forgot what came before.
const PUBLISH: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local at = 2
for entry = 2, #KEYS do
    local fields = tonumber(ARGV[at])
    redis.call('XADD', KEYS[entry], '*', unpack(ARGV, at + 1, at + fields))
    at = at + fields + 1
end
return 1
";

/// Makes sure of a group on each stream, at its beginning. A group that was there before in this life was lost, and
/// perhaps more with it: then it begins at the end, and with a new life everything is sent again, behind that end.
const ARRIVE: &str = "
local group, life = ARGV[1], ARGV[2]
local lost = false
for shard = 3, #KEYS do
    local made = redis.pcall('XGROUP', 'CREATE', KEYS[shard], group, '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
    if not made.err and redis.call('SADD', KEYS[2], group .. ' ' .. KEYS[shard]) == 0 then
        redis.call('XGROUP', 'SETID', KEYS[shard], group, '$')
        lost = true
    end
end
if lost then redis.call('SET', KEYS[1], life) end
return lost and 1 or 0
";

/// Tells how the streams are, at one moment.
const LOOK: &str = "
local function read(flat)
    local named = {}
    for at = 1, #flat, 2 do named[flat[at]] = flat[at + 1] end
    return named
end
local answer = { redis.call('GET', KEYS[1]) or '' }
for shard = 2, #KEYS do
    local key = KEYS[shard]
    local told = { '0-0', 0 }
    if redis.call('EXISTS', key) == 1 then
        local stream = read(redis.call('XINFO', 'STREAM', key))
        told = { stream['last-generated-id'], stream['length'] }
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
    look: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        let [publish, arrive, look] = [PUBLISH, ARRIVE, LOOK].map(Script::new);
        Self { publish, arrive, look }
    }
}

impl Scripts {
    /// Adds entries; returns whether the broker lives this life, and so has taken them.
    pub(super) async fn publish(
        &self,
        connection: &mut MultiplexedConnection,
        names: &Names,
        life: &str,
        parcels: &[Parcel],
    ) -> RedisResult<bool> {
        let mut call = self.publish.key(&names.life);
        call.arg(life);
        for parcel in parcels {
            call.key(&names.streams[parcel.shard]).arg(2 * parcel.fields.len());
            for (kind, json) in &parcel.fields {
                call.arg(kind).arg(json.as_slice());
            }
        }
        call.invoke_async(connection).await
    }

    /// Makes sure of a group on each stream; returns whether it was lost, so that a new life begins.
    pub(super) async fn arrive(
        &self,
        connection: &mut impl ConnectionLike,
        names: &Names,
        group: &str,
        new_life: &str,
    ) -> RedisResult<bool> {
        let mut call = self.arrive.key(&names.life);
        call.key(&names.groups).key(&names.streams).arg(group).arg(new_life);
        call.invoke_async(connection).await
    }

    /// Returns how the streams are.
    pub(super) async fn look(
        &self,
        connection: &mut MultiplexedConnection,
        names: &Names,
    ) -> RedisResult<Look> {
        let mut call = self.look.key(&names.life);
        call.key(&names.streams);
        look::read(call.invoke_async(connection).await?)
    }
}

/// Removes from each stream what is before its bound.
pub(super) async fn trim(
    connection: &mut MultiplexedConnection,
    names: &Names,
    bounds: &Each<Option<super::stream::Id>>,
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
