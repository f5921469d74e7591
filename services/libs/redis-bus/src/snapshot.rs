//! How the streams are, and what follows from it. Plain functions.

use ::redis::{FromRedisValue, ParsingError, RedisResult, Value, from_redis_value};

use super::stream::{Each, Id, SHARDS};

/// How all streams are, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamSnapshot {
    /// The broker's incarnation; empty if it has none.
    pub(super) incarnation: String,
    /// The groups that read now.
    pub(super) alive: Vec<&'static str>,
    pub(super) shards: Each<Shard>,
}

/// How a stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shard {
    /// The last entry that it was ever given.
    pub(super) last: Id,
    /// How many entries it has.
    pub(super) length: i64,
    /// How much memory it takes, about.
    pub(super) bytes: u64,
    pub(super) groups: Vec<Group>,
}

/// How far a group is on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    /// The last entry that was handed out.
    pub(super) handed_out: Id,
    /// How many of those are not acknowledged.
    pub(super) pending: i64,
    /// The first of them.
    pub(super) first_pending: Option<Id>,
    /// How many entries were not handed out; `None` if Redis does not know.
    pub(super) lag: Option<i64>,
}

impl Group {
    /// Returns the number before which everything is acknowledged.
    pub(super) fn context(&self) -> Id {
        self.first_pending.unwrap_or_else(|| self.handed_out.next())
    }
}

impl Shard {
    /// Returns the number before which all these groups have acknowledged everything.
    pub(super) fn context(&self, groups: &[&str]) -> Id {
        let of = |name: &&str| self.groups.iter().find(|group| group.name == *name);
        let floors = groups.iter().map(|name| of(name).map_or(Id::ZERO, Group::context));
        floors.min().unwrap_or(Id::ZERO)
    }
}

impl StreamSnapshot {
    /// Returns the last entry of each stream.
    pub(super) fn ends(&self) -> Each<Id> {
        self.shards.each_ref().map(|shard| shard.last)
    }

    /// Returns how many entries a group has not acknowledged. Where Redis does not count what was not handed out (before
    /// version 7), that is one at least if there is any.
    pub(super) fn waiting(&self, name: &str) -> i64 {
        let of = |shard: &Shard| match shard.groups.iter().find(|group| group.name == name) {
            Some(group) if group.handed_out >= shard.last => group.pending,
            Some(group) => group.pending + group.lag.unwrap_or(1),
            None => shard.length,
        };
        self.shards.iter().map(of).sum()
    }

    /// Returns whether all these groups have acknowledged every entry up to these.
    pub(super) fn is_acknowledged(&self, ends: &Each<Id>, groups: &[&str]) -> bool {
        self.shards
            .iter()
            .zip(ends)
            .all(|(shard, end)| *end == Id::ZERO || shard.context(groups) > *end)
    }

    /// Returns the shards that take more memory than this.
    pub(super) fn too_large(&self, bytes_max: u64) -> Vec<usize> {
        (0..SHARDS).filter(|shard| self.shards[*shard].bytes > bytes_max).collect()
    }

    /// Returns before which entry a stream has nothing that any of these groups needs that reads now, if one that does not
    /// read still needs something of that.
    pub(super) fn cut(&self, shard: usize, groups: &[&str]) -> Option<Id> {
        let shard = &self.shards[shard];
        let needed = match self.alive.is_empty() {
            true => shard.last.next(),
            false => shard.context(&self.alive),
        };
        (needed > shard.context(groups)).then_some(needed)
    }

    /// Returns before which entry each stream needs nothing more, where there is something to remove.
    pub(super) fn trims(&self, groups: &[&str]) -> Each<Option<Id>> {
        self.shards.each_ref().map(|shard| {
            let context = shard.context(groups);
            (shard.length > 0 && context > Id::ZERO).then_some(context)
        })
    }
}

/// Reads what the script tells of these groups.
pub(super) fn read(answer: Value, groups: &[&'static str]) -> RedisResult<StreamSnapshot> {
    let Value::Array(parts) = answer else { return Err(unreadable(&answer).into()) };
    let mut parts = parts.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let incarnation = from_redis_value(next())?;
    let alive: Vec<bool> = from_redis_value(next())?;
    let alive = groups.iter().zip(alive).filter_map(|(group, alive)| alive.then_some(*group));
    let mut look =
        StreamSnapshot { incarnation, alive: alive.collect(), ..StreamSnapshot::default() };
    for shard in &mut look.shards {
        *shard = read_shard(next())?;
    }
    Ok(look)
}

fn read_shard(told: Value) -> RedisResult<Shard> {
    let Value::Array(parts) = told else { return Err(unreadable(&told).into()) };
    let mut parts = parts.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let last = read_id(next())?;
    let (length, bytes) = (from_redis_value(next())?, from_redis_value(next())?);
    let groups = parts.map(read_group).collect::<RedisResult<Vec<_>>>()?;
    Ok(Shard { last, length, bytes, groups })
}

fn read_group(told: Value) -> RedisResult<Group> {
    let (name, handed_out, pending, first, lag): (String, Value, i64, String, i64) =
        FromRedisValue::from_redis_value(told)?;
    let first_pending = if first.is_empty() { None } else { Some(id(&first)?) };
    let (handed_out, lag) = (read_id(handed_out)?, (lag >= 0).then_some(lag));
    Ok(Group { name, handed_out, pending, first_pending, lag })
}

pub(super) fn read_id(value: Value) -> RedisResult<Id> {
    id(&from_redis_value::<String>(value)?)
}

fn id(text: &str) -> RedisResult<Id> {
    text.parse().map_err(|_| ParsingError::from(format!("`{text}` is no entry's number")).into())
}

pub(super) fn unreadable(value: &Value) -> ParsingError {
    let told: String = format!("{value:?}").chars().take(200).collect();
    ParsingError::from(format!("Redis answered {told}"))
}

#[cfg(test)]
mod tests {
    use contracts::services::{BOARD, KITCHEN, ORDERS};

    use super::{Group, Id, Shard, StreamSnapshot};

    fn group(name: &str, handed_out: &str, first_pending: Option<&str>) -> Group {
        Group {
            name: name.into(),
            handed_out: handed_out.parse().unwrap(),
            pending: i64::from(first_pending.is_some()),
            first_pending: first_pending.map(|id| id.parse().unwrap()),
            lag: None,
        }
    }

    fn look(groups: Vec<Group>) -> StreamSnapshot {
        let mut look = StreamSnapshot::default();
        look.shards[0] = Shard { last: "9-0".parse().unwrap(), length: 4, bytes: 700, groups };
        look
    }

    #[test]
    fn the_slowest_group_decides_and_a_missing_one_has_nothing() {
        let look = look(vec![group(KITCHEN, "9-0", None), group(BOARD, "9-0", Some("5-1"))]);
        let context = |groups: &[&str]| look.shards[0].context(groups).to_string();
        assert_eq!(context(&[KITCHEN]), "9-1");
        assert_eq!(context(&[KITCHEN, BOARD]), "5-1");
        assert_eq!(context(&[KITCHEN, ORDERS]), "0-0");
    }

    #[test]
    fn only_what_absent_groups_need_is_cut_off() {
        let groups = vec![group(KITCHEN, "7-0", None), group(BOARD, "3-0", None)];
        let mut look = look(groups);
        let cut = |look: &StreamSnapshot| look.cut(0, &[KITCHEN, BOARD]).map(|id| id.to_string());
        look.alive = vec![KITCHEN];
        assert_eq!(cut(&look).as_deref(), Some("7-1"));
        look.alive = vec![KITCHEN, BOARD];
        assert_eq!(cut(&look), None);
        look.alive = Vec::new();
        assert_eq!(cut(&look).as_deref(), Some("9-1"));
        assert_eq!((look.too_large(700), look.too_large(699)), (vec![], vec![0]));
    }

    #[test]
    fn what_is_handed_out_is_not_acknowledged() {
        let mut ends = [Id::ZERO; 8];
        ends[0] = "9-0".parse().unwrap();
        let done = look(vec![group(KITCHEN, "9-0", None)]);
        assert!(done.is_acknowledged(&ends, &[KITCHEN]));
        let pending = look(vec![group(KITCHEN, "9-0", Some("9-0"))]);
        assert!(!pending.is_acknowledged(&ends, &[KITCHEN]));
        assert!(pending.is_acknowledged(&[Id::ZERO; 8], &[KITCHEN]), "nothing is asked for");
    }
}
