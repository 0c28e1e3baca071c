//! What the collector keeps: each event once, by source and id.

use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

/// Events in SQLite.
#[derive(Debug)]
pub struct Store(Connection);

const SCHEMA: &str = "
create table if not exists events (
    source text not null, id text not null, type text not null, writer text, seq integer, tenant text, event text not null,
    primary key (source, id)) without rowid;
create table if not exists arrivals (n integer primary key, source text not null, id text not null);
create index if not exists by_writer on events (source, writer, seq);
create table if not exists counters (name text primary key, value integer not null);
insert or ignore into counters values ('batches', 0), ('duplicates', 0);
";

impl Store {
    /// Opens a file, and makes it if it is not there.
    ///
    /// # Errors
    /// If it is no database.
    pub fn open(file: &Path) -> Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "off")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(connection))
    }

    /// Keeps a batch in one transaction; how many events are new.
    pub(super) fn insert(&mut self, events: &[Value]) -> Result<usize> {
        let transaction = self.0.transaction()?;
        let mut new = 0;
        {
            let mut insert =
                transaction.prepare_cached("insert or ignore into events values (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
            let mut arrive = transaction.prepare_cached("insert into arrivals (source, id) values (?1, ?2)")?;
            for event in events {
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let data = &event["data"];
                let (source, id) = (text(&event["source"]), text(&event["id"]));
                let added = insert.execute(params![
                    source,
                    id,
                    text(&event["type"]),
                    text(&data["writer"]),
                    data["seq"].as_i64(),
                    text(&data["tenant"]),
                    event.to_string()
                ])?;
                if added > 0 {
                    arrive.execute(params![source, id])?;
                }
                new += added;
            }
        }
        let duplicates = i64::try_from(events.len() - new)?;
        transaction.execute("update counters set value = value + 1 where name = 'batches'", [])?;
        transaction.execute("update counters set value = value + ?1 where name = 'duplicates'", [duplicates])?;
        transaction.commit()?;
        Ok(new)
    }

    /// How many usage events there are.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn count(&self) -> Result<usize> {
        Ok(self.0.query_row("select count(*) from events where type = 'ai.meterr.usage.v1'", [], |row| row.get(0))?)
    }

    /// Those pairs of source and id that no event here has.
    pub(super) fn missing(&self, names: &[[String; 2]]) -> Result<Vec<[String; 2]>> {
        let mut statement = self.0.prepare_cached("select 1 from events where source = ?1 and id = ?2")?;
        let mut missing = Vec::new();
        for name in names {
            if !statement.exists(params![name[0], name[1]])? {
                missing.push(name.clone());
            }
        }
        Ok(missing)
    }

    /// Events in the order of their arrival; the query may hold `limit`, and `type` where it is not usage events that are wanted.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn events(&self, query: &str) -> Result<Value> {
        let limit: i64 = parameter(query, "limit").and_then(|value| value.parse().ok()).unwrap_or(-1);
        let kind = parameter(query, "type").unwrap_or_else(|| "ai.meterr.usage.v1".to_owned());
        let mut statement = self.0.prepare_cached(
            "select event from arrivals join events using (source, id) where type = ?2 order by n limit ?1",
        )?;
        let texts = statement.query_map(params![limit, kind], |row| row.get::<_, String>(0))?;
        let mut events = Vec::new();
        for text in texts {
            events.push(serde_json::from_str(&text?)?);
        }
        Ok(Value::Array(events))
    }

    /// What was used, by tenant, provider and model; the query may hold `tenant`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn usage(&self, query: &str) -> Result<Value> {
        let tenant = parameter(query, "tenant");
        let mut rows = std::collections::BTreeMap::<[String; 3], Sum>::new();
        let Value::Array(events) = self.events("")? else { return Ok(Value::Null) };
        for event in &events {
            let data = &event["data"];
            if tenant.as_deref().is_some_and(|tenant| data["tenant"] != tenant) {
                continue;
            }
            let text = |name: &str| data[name].as_str().unwrap_or("unknown").to_owned();
            let model = if data["response_model"].is_string() { text("response_model") } else { text("request_model") };
            rows.entry([text("tenant"), text("provider"), model]).or_default().add(data);
        }
        let rows = rows.into_iter().map(|([tenant, provider, model], sum)| {
            json!({ "tenant": tenant, "provider": provider, "model": model, "events": sum.events, "input_tokens": sum.input,
                    "output_tokens": sum.output, "cost_usd": usd(sum.pico), "unpriced_events": sum.unpriced })
        });
        Ok(rows.collect())
    }

    /// Sequence numbers that a writer has given and nobody has got: none, unless something was lost or is still on its way.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn gaps(&self) -> Result<Value> {
        let mut statement = self.0.prepare_cached(
            "select source, writer, seq, type from events where writer is not null order by source, writer, seq, type desc",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, String>(3)?))
        })?;
        let mut gaps = Vec::new();
        let mut last: Option<(String, String, i64)> = None;
        for row in rows {
            let (source, writer, seq, kind) = row?;
            let before = match &last {
                Some((s, w, before)) if *s == source && *w == writer => *before,
                _ => 0,
            };
            // A heartbeat tells the last number given: that event itself must be there too.
            let expected = if kind == "ai.meterr.heartbeat.v1" { seq } else { seq - 1 };
            if expected > before {
                gaps.push(json!({ "source": source, "writer": writer, "from": before + 1, "to": expected }));
            }
            last = Some((source, writer, seq.max(before)));
        }
        Ok(Value::Array(gaps))
    }

    /// Counts of what came.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn stats(&self) -> Result<Value> {
        let counter = |name: &str| {
            self.0.query_row("select value from counters where name = ?1", [name], |row| row.get::<_, i64>(0))
        };
        let heartbeats: i64 =
            self.0
                .query_row("select count(*) from events where type = 'ai.meterr.heartbeat.v1'", [], |row| row.get(0))?;
        Ok(json!({ "events": self.count()?, "heartbeats": heartbeats, "batches": counter("batches")?,
                   "duplicates": counter("duplicates")? }))
    }
}

#[derive(Default)]
struct Sum {
    events: u64,
    input: u64,
    output: u64,
    pico: u128,
    unpriced: u64,
}

impl Sum {
    fn add(&mut self, data: &Value) {
        self.events += 1;
        self.input += data["input_tokens"].as_u64().unwrap_or(0);
        self.output += data["output_tokens"].as_u64().unwrap_or(0);
        match data["cost_usd"].as_str().and_then(pico) {
            Some(cost) => self.pico += cost,
            None => self.unpriced += u64::from(data["cost_status"] != "free"),
        }
    }
}

/// A decimal in units of 1e-12.
fn pico(text: &str) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u128 = whole.parse().ok()?;
    let fraction: u128 = format!("{fraction:0<12}").parse().ok()?;
    Some(whole * 1_000_000_000_000 + fraction)
}

fn usd(pico: u128) -> String {
    let text = format!("{}.{:012}", pico / 1_000_000_000_000, pico % 1_000_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn parameter(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, id: &str, writer: &str, seq: i64) -> Value {
        json!({ "source": "s", "id": id, "type": kind, "data": { "writer": writer, "seq": seq, "tenant": "t", "provider": "p",
                "request_model": "m", "input_tokens": 2, "output_tokens": 3, "cost_usd": "0.25" } })
    }

    const USAGE: &str = "ai.meterr.usage.v1";
    const BEAT: &str = "ai.meterr.heartbeat.v1";

    #[test]
    fn ok_each_event_once_and_gaps_are_told() {
        let mut store = Store::open(Path::new(":memory:")).expect("memory");
        let events = [event(USAGE, "a", "w", 1), event(USAGE, "b", "w", 2), event(USAGE, "b", "w", 2)];
        assert_eq!(store.insert(&events).expect("kept"), 2);
        assert_eq!(store.gaps().expect("read"), json!([]));
        store.insert(&[event(USAGE, "c", "w", 5)]).expect("kept");
        assert_eq!(store.gaps().expect("read"), json!([{ "source": "s", "writer": "w", "from": 3, "to": 4 }]));
        store.insert(&[event(USAGE, "d", "w", 3), event(USAGE, "e", "w", 4), event(BEAT, "f", "w", 5)]).expect("kept");
        assert_eq!(store.gaps().expect("read"), json!([]));
        store.insert(&[event(BEAT, "g", "w", 7)]).expect("kept");
        assert_eq!(store.gaps().expect("read"), json!([{ "source": "s", "writer": "w", "from": 6, "to": 7 }]));
        assert_eq!(store.stats().expect("read")["duplicates"], 1);
        let usage = store.usage("tenant=t").expect("read");
        assert_eq!(
            (&usage[0]["events"], &usage[0]["input_tokens"], &usage[0]["cost_usd"]),
            (&json!(5), &json!(10), &json!("1.25"))
        );
        assert_eq!(store.usage("tenant=x").expect("read"), json!([]));
    }
}
