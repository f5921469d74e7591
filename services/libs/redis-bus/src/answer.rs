//! What Redis answers to a reader. Plain functions.

use ::redis::{RedisResult, Value, from_redis_value};

use super::{
    snapshot::{read_id, unreadable},
    stream::{Id, Names},
};

/// A field of an entry: the type of an event, and its JSON.
pub(super) type Field = (Vec<u8>, Vec<u8>);
/// An entry with its fields; without any, if it was removed meanwhile.
pub(super) type Entry = (Id, Vec<Field>);

/// Reads the entries of each shard that is in an answer.
pub(super) fn read(answer: Value, names: &Names) -> RedisResult<Vec<(usize, Vec<Entry>)>> {
    let of_stream = |(stream, entries): (Value, Value)| {
        let name: Vec<u8> = from_redis_value(stream)?;
        let shard = names.shard_of_stream(&name);
        let (Some(shard), Value::Array(entries)) = (shard, entries) else {
            return Err(unreadable(&Value::BulkString(name)).into());
        };
        Ok((shard, entries.into_iter().map(read_entry).collect::<RedisResult<Vec<_>>>()?))
    };
    pairs(answer)?.into_iter().map(of_stream).collect()
}

fn read_entry(entry: Value) -> RedisResult<Entry> {
    let (id, fields): (Value, Value) = from_redis_value(entry)?;
    let field = |(kind, json)| Ok((from_redis_value(kind)?, from_redis_value(json)?));
    Ok((read_id(id)?, pairs(fields)?.into_iter().map(field).collect::<RedisResult<Vec<_>>>()?))
}

/// Reads what is told in pairs, one behind the other or each by itself; nothing is none.
fn pairs(value: Value) -> RedisResult<Vec<(Value, Value)>> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::Map(pairs) => Ok(pairs),
        Value::Array(parts) if parts.iter().all(|part| matches!(part, Value::Array(_))) => {
            parts.into_iter().map(|part| Ok(from_redis_value(part)?)).collect()
        }
        Value::Array(parts) => {
            let mut parts = parts.into_iter();
            Ok(std::iter::from_fn(|| Some((parts.next()?, parts.next()?))).collect())
        }
        other => Err(unreadable(&other).into()),
    }
}

#[cfg(test)]
mod tests {
    use ::redis::Value;

    use super::{Names, read};

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn entries_are_read_with_what_is_left_of_them() {
        let fields = Value::Array(vec![text("a"), text("1"), text("a"), text("2")]);
        let there = Value::Array(vec![text("5-1"), fields]);
        let removed = Value::Array(vec![text("5-2"), Value::Nil]);
        let stream =
            Value::Array(vec![text("chefcito.events.{3}"), Value::Array(vec![there, removed])]);
        let read = |answer| read(answer, &Names::new("chefcito"));
        let answer = read(Value::Array(vec![stream])).unwrap();
        let [(3, entries)] = answer.as_slice() else { panic!("{answer:?}") };
        let counts: Vec<(String, usize)> =
            entries.iter().map(|(id, fields)| (id.to_string(), fields.len())).collect();
        assert_eq!(counts, [("5-1".to_owned(), 2), ("5-2".to_owned(), 0)]);
        assert!(read(Value::Nil).unwrap().is_empty());
        assert!(read(text("nonsense")).is_err());
    }
}
