//! A decision: named rules over rows, their actions, and a log of every row that was looked at.

use crate::bad_rows::{BadRows, by_row};
use crate::columns;
use crate::fingerprint::Fingerprint;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Scalar, Span, StateReader,
    StateWriter,
};
use state::{Encoder, KeyIndex, Keys, Pieces, Table, TablePage, Timers};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// A decision.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// The column that says whom an action is about, and by which the input is keyed.
    pub subject: usize,
    /// Its rules in order.
    pub rules: Vec<Rule>,
    /// The input columns that the log keeps.
    pub log_columns: Vec<usize>,
    /// The models that scored the row, with their versions.
    pub model_versions: Vec<(String, String)>,
    /// The revision of the project.
    pub revision: String,
    /// Actions after this leave the job (W).
    pub published_after: EventTime,
    /// Whether actions leave at the main port; without it records alone leave.
    pub acts: bool,
}

/// A rule of a decision.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// A boolean; NULL is no match, and counted.
    pub condition: Arc<dyn Scalar>,
    /// The action that it takes.
    pub action: String,
    /// It is recorded only, and never acts.
    pub shadow: bool,
    /// It acts on a subject again only when so long has passed since it last did.
    pub once_per: Option<Span>,
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// The columns of actions: decision_id, decision, rule, action, subject, time.
pub fn actions_schema(input: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    let subject = columns::field(input, spec.subject, "the SUBJECT")?;
    Ok(Arc::new(Schema::new(vec![
        Field::new("decision_id", DataType::Utf8, false),
        Field::new("decision", DataType::Utf8, false),
        Field::new("rule", DataType::Utf8, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("subject", subject.data_type().clone(), true),
        Field::new("time", timestamp(), false),
    ])))
}

/// The columns of the log: decision_id, time, subject, matched, acted, suppressed, nulls, failed, action,
/// published, model_version, revision, then the kept input columns, of which those with one of these names get `row_` in front.
pub fn log_schema(input: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    let subject = columns::field(input, spec.subject, "the SUBJECT")?;
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let mut fields = vec![
        text("decision_id", false),
        Field::new("time", timestamp(), false),
        Field::new("subject", subject.data_type().clone(), true),
        text("matched", false),
        text("acted", true),
        text("suppressed", true),
        text("nulls", false),
        text("failed", false),
        text("action", true),
        Field::new("published", DataType::Boolean, false),
        text("model_version", true),
        text("revision", false),
    ];
    for &column in &spec.log_columns {
        let kept = columns::field(input, column, "a log column")?;
        let mut name = kept.name().clone();
        while fields.iter().any(|field| *field.name() == name) {
            name.insert_str(0, "row_");
        }
        fields.push(Field::new(name, kept.data_type().clone(), true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The id of a decision about a row: 32 hex digits of xxh3_128 over the decision's name, a zero byte, `_time` as 8 bytes
/// and `_ord` as 16 bytes, both little endian. The same in every replay.
pub fn decision_id(decision: &str, time: EventTime, order: dataflow::RowOrder) -> String {
    let mut hash = Xxh3::new();
    hash.update(decision.as_bytes());
    hash.update(&[0]);
    hash.update(&time.0.to_le_bytes());
    hash.update(&order.0.to_le_bytes());
    format!("{:032x}", hash.digest128())
}

/// Looks at every row at once and in order: puts its action out, if a rule acts, and a record of what was decided.
///
/// The first rule that matches and is not SHADOW acts, unless it has acted on the subject less than its ONCE PER ago:
/// then no rule acts, and it is recorded as suppressed. A NULL condition is no match. A condition that fails is
/// no match either, and is recorded as failed: the other rules go on, and the policy of the stream is followed beside them.
/// Actions leave at the main port whether they are published or not; records leave at [`Port::RECORDS`]. NULL subjects
/// count as one subject.
///
/// State: per rule with ONCE PER the time of its last action on each subject, forgotten when the interval has passed.
#[derive(Debug)]
pub struct Decision {
    spec: Spec,
    // Followed for rows on which a rule fails, beside what the other rules decide.
    bad_rows: BadRows,
    actions: SchemaRef,
    log: SchemaRef,
    keys: KeyIndex,
    cooldowns: Vec<Option<Cooldown>>,
    model_version: Option<String>,
    watermark: EventTime,
    fingerprint: u64,
}

/// When a rule last acted on each subject.
#[derive(Clone, Debug)]
struct Cooldown {
    once_per: Span,
    // By key id; NEVER for subjects that it may act on.
    last: Table<i64>,
    timers: Timers,
}

const NEVER: i64 = i64::MIN;
const ACTED: u8 = 1;

/// So many entries are restored before it is looked whether memory is short.
const ENTRIES_AT_ONCE: usize = 4096;

/// The values of a rule's condition, and the rows on which it failed.
struct Condition {
    values: BooleanArray,
    failed: Vec<(usize, Error)>,
}

/// What was decided about the rows of a batch, in columns.
#[derive(Debug, Default)]
struct Decided {
    acting: Vec<Option<usize>>,
    suppressed: Vec<Option<usize>>,
    matched: Vec<String>,
    nulls: Vec<String>,
    failed: Vec<String>,
}

/// What the state of a decision with a name and a subject is of, whose rules have names and lengths of ONCE PER: 64
/// bits that stand in every piece of it.
pub fn fingerprint<'a>(
    input: &SchemaRef,
    (name, subject): (&str, usize),
    rules: impl ExactSizeIterator<Item = (&'a str, Option<Span>)>,
) -> Result<u64> {
    let out = Fingerprint::of("decision").schema(input)?.name(name).columns(&[subject]).count(rules.len());
    Ok(rules.fold(out, |out, (rule, once_per)| out.name(rule).optional_span(once_per)).hash())
}

impl Decision {
    /// A decision over rows of a schema.
    pub fn new(input: SchemaRef, spec: Spec, bad_rows: BadRows) -> Result<Decision> {
        let (actions, log) = (actions_schema(&input, &spec)?, log_schema(&input, &spec)?);
        let mut cooldowns = Vec::with_capacity(spec.rules.len());
        for rule in &spec.rules {
            if rule.condition.data_type() != DataType::Boolean {
                return Err(Error::invalid(format!(
                    "decision \"{}\": the condition of rule \"{}\" is of type {}, expected BOOLEAN",
                    spec.name,
                    rule.name,
                    rule.condition.data_type()
                )));
            }
            if let Some(Span(once_per @ ..=0)) = rule.once_per {
                return Err(Error::invalid(format!(
                    "decision \"{}\": ONCE PER of rule \"{}\" is {once_per} us, expected more than 0",
                    spec.name, rule.name
                )));
            }
            cooldowns.push(rule.once_per.map(|once_per| Cooldown {
                once_per,
                last: Table::new(1, NEVER),
                timers: Timers::default(),
            }));
        }
        let versions: Vec<String> =
            spec.model_versions.iter().map(|(model, version)| format!("{model}={version}")).collect();
        Ok(Decision {
            keys: KeyIndex::new(&columns::types(&input, &[spec.subject], "the SUBJECT")?, true),
            model_version: (!versions.is_empty()).then(|| versions.join(",")),
            fingerprint: fingerprint(
                &input,
                (&spec.name, spec.subject),
                spec.rules.iter().map(|rule| (rule.name.as_str(), rule.once_per)),
            )?,
            watermark: EventTime::MIN,
            spec,
            bad_rows,
            actions,
            log,
            cooldowns,
        })
    }

    fn conditions(&self, batch: &Batch) -> Result<Vec<Condition>> {
        let condition = |rule: &Rule| {
            let evaluated = rule.condition.evaluate(batch)?;
            let values = evaluated.values.as_boolean_opt().cloned();
            let values =
                values.ok_or_else(|| Error::internal(format!("a condition gave {}", evaluated.values.data_type())))?;
            Ok(Condition { values, failed: evaluated.failed })
        };
        self.spec.rules.iter().map(condition).collect()
    }

    fn decide(&mut self, batch: &Batch, conditions: &[Condition]) -> Result<Decided> {
        let mut subjects = Vec::new();
        if self.cooldowns.iter().any(Option::is_some) {
            self.keys.intern(batch, &[self.spec.subject], &mut subjects)?;
            for cooldown in self.cooldowns.iter_mut().flatten() {
                cooldown.last.load(subjects.iter().copied())?;
            }
        }
        let mut decided = Decided::default();
        for row in 0..batch.rows() {
            let (mut matched, mut nulls, mut failed, mut first) = (String::new(), String::new(), String::new(), None);
            for (index, (rule, condition)) in self.spec.rules.iter().zip(conditions).enumerate() {
                if condition.has_failed(row) {
                    append_name(&mut failed, &rule.name);
                } else if condition.values.is_null(row) {
                    append_name(&mut nulls, &rule.name);
                } else if condition.values.value(row) {
                    append_name(&mut matched, &rule.name);
                    if !rule.shadow && first.is_none() {
                        first = Some(index);
                    }
                }
            }
            let may_act = first.is_some_and(|rule| self.may_act(rule, subjects.get(row).copied(), batch.times()[row]));
            decided.acting.push(first.filter(|_| may_act));
            decided.suppressed.push(first.filter(|_| !may_act));
            decided.matched.push(matched);
            decided.nulls.push(nulls);
            decided.failed.push(failed);
        }
        // Subjects stay known for as long as a timer refers to them.
        self.keys.release_all(&subjects)?;
        Ok(decided)
    }

    /// Whether a rule may act on a subject now; if so, its interval begins.
    fn may_act(&mut self, rule: usize, subject: Option<u32>, time: i64) -> bool {
        let (Some(cooldown), Some(subject)) = (&mut self.cooldowns[rule], subject) else { return true };
        if !cooldown.may_act(subject, time) {
            return false;
        }
        self.keys.retain(subject);
        cooldown.begin(subject, time);
        true
    }

    /// Ends the intervals that no row at or after a time can fall into.
    fn end_intervals(&mut self, next: EventTime) -> Result<()> {
        for cooldown in self.cooldowns.iter_mut().flatten() {
            while let Some((due, subjects)) = cooldown.timers.next_due(next) {
                cooldown.last.load(subjects.iter().copied())?;
                for subject in subjects {
                    let last = &mut cooldown.last.row_mut(subject)[0];
                    if EventTime(*last).plus(cooldown.once_per) == due {
                        *last = NEVER;
                    }
                    self.keys.release(subject)?;
                }
            }
        }
        Ok(())
    }

    /// Shares memory with other steps.
    fn share(&mut self, cx: &Context) {
        self.keys.spill_to(cx.memory());
        self.cooldowns.iter_mut().flatten().for_each(|cooldown| cooldown.last.spill_to(cx.memory()));
    }

    /// Puts state aside where memory is short.
    fn fit(&mut self, cx: &mut Context) -> Result<()> {
        self.count_state(cx);
        let mut parts: Vec<&mut dyn Pieces> = vec![&mut self.keys];
        parts.extend(self.cooldowns.iter_mut().flatten().map(|cooldown| &mut cooldown.last as &mut dyn Pieces));
        state::fit(cx.memory(), &mut parts)?;
        self.count_state(cx);
        Ok(())
    }

    /// The rows on which rules failed, each with the first that did.
    fn failures(&self, conditions: Vec<Condition>) -> Vec<(usize, Error)> {
        let named = |(rule, condition): (&Rule, Condition)| {
            let context = format!("decision \"{}\": rule \"{}\"", self.spec.name, rule.name);
            let with_name = move |(row, error): (usize, Error)| (row, error.context(context.clone()));
            condition.failed.into_iter().map(with_name).collect::<Vec<_>>()
        };
        by_row(self.spec.rules.iter().zip(conditions).flat_map(named).collect())
    }

    fn actions(&self, batch: &Batch, decided: &Decided, ids: &[String]) -> Result<Batch> {
        let acting = || decided.acting.iter().enumerate().filter_map(|(at, rule)| rule.map(|rule| (at, rule)));
        let rows: Vec<u32> = acting().map(|(at, _)| at as u32).collect();
        let taken = batch.take(&rows)?;
        let rules = || acting().map(|(_, rule)| &self.spec.rules[rule]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(acting().map(|(at, _)| &ids[at]))),
            Arc::new(StringArray::from_iter_values(rules().map(|_| &self.spec.name))),
            Arc::new(StringArray::from_iter_values(rules().map(|rule| &rule.name))),
            Arc::new(StringArray::from_iter_values(rules().map(|rule| &rule.action))),
            taken.column(self.spec.subject).clone(),
            taken.time_column(),
        ];
        taken.with_columns(RecordBatch::try_new(self.actions.clone(), columns)?)
    }

    fn records(&self, batch: &Batch, decided: &Decided, ids: &[String]) -> Result<Batch> {
        let name = |rule: &Option<usize>| rule.map(|rule| self.spec.rules[rule].name.as_str());
        let action = |rule: &Option<usize>| rule.map(|rule| self.spec.rules[rule].action.as_str());
        let published = decided
            .acting
            .iter()
            .zip(batch.times().iter())
            .map(|(acting, &time)| Some(acting.is_some() && time > self.spec.published_after.0));
        let rows = batch.rows();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(ids)),
            batch.time_column(),
            batch.column(self.spec.subject).clone(),
            Arc::new(StringArray::from_iter_values(&decided.matched)),
            Arc::new(decided.acting.iter().map(name).collect::<StringArray>()),
            Arc::new(decided.suppressed.iter().map(name).collect::<StringArray>()),
            Arc::new(StringArray::from_iter_values(&decided.nulls)),
            Arc::new(StringArray::from_iter_values(&decided.failed)),
            Arc::new(decided.acting.iter().map(action).collect::<StringArray>()),
            Arc::new(published.collect::<BooleanArray>()),
            Arc::new((0..rows).map(|_| self.model_version.as_deref()).collect::<StringArray>()),
            Arc::new(StringArray::from_iter_values((0..rows).map(|_| &self.spec.revision))),
        ];
        columns.extend(columns::arrays(batch, &self.spec.log_columns));
        batch.with_columns(RecordBatch::try_new(self.log.clone(), columns)?)
    }

    fn count_state(&self, cx: &mut Context) {
        let cooldowns = self.cooldowns.iter().flatten();
        let cooldowns: usize = cooldowns.map(|cooldown| cooldown.last.size() + cooldown.timers.size()).sum();
        let spilled: usize = self.cooldowns.iter().flatten().map(|cooldown| cooldown.last.spilled()).sum();
        cx.set_state(self.keys.size() + cooldowns, 0, self.keys.spilled() + spilled);
    }
}

impl Condition {
    fn has_failed(&self, row: usize) -> bool {
        self.failed.binary_search_by_key(&row, |(row, _)| *row).is_ok()
    }
}

impl Cooldown {
    fn freeze(&mut self) -> Table<i64> {
        self.last.share();
        self.last.clone()
    }

    fn may_act(&self, subject: u32, time: i64) -> bool {
        match self.last.row(subject).map_or(NEVER, |row| row[0]) {
            NEVER => true,
            last => EventTime(time) >= EventTime(last).plus(self.once_per),
        }
    }

    fn begin(&mut self, subject: u32, time: i64) {
        self.last.row_mut(subject)[0] = time;
        self.timers.set(EventTime(time).plus(self.once_per), subject);
    }
}

fn append_name(names: &mut String, name: &str) {
    if !names.is_empty() {
        names.push(',');
    }
    names.push_str(name);
}

impl Operator for Decision {
    fn process(&mut self, _: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        let Some(&newest) = batch.times().last() else { return Ok(Progress::Done) };
        if !batch.times().is_sorted() {
            return Err(Error::internal("rows came to a decision out of order; it stands after a merge"));
        }
        self.share(cx);
        let conditions = self.conditions(batch)?;
        let decided = self.decide(batch, &conditions)?;
        self.end_intervals(EventTime(newest))?;
        let id = |row: usize| decision_id(&self.spec.name, batch.time(row), batch.order(row));
        let ids: Vec<String> = (0..batch.rows()).map(id).collect();
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Out, batch.rows());
        if self.spec.acts {
            cx.emit(Port::MAIN, self.actions(batch, &decided, &ids)?);
        }
        cx.emit(Port::RECORDS, self.records(batch, &decided, &ids)?);
        self.bad_rows.record(batch, &self.failures(conditions), cx)?;
        self.fit(cx)?;
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.watermark = self.watermark.max(watermark);
        self.end_intervals(watermark.plus(Span(1)))?;
        self.fit(cx)?;
        Ok(Progress::Done)
    }

    fn next_due(&self, _: EventTime) -> Option<EventTime> {
        None
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        Ok(Arc::new(FrozenDecision {
            keys: self.keys.snapshot(),
            last: self.cooldowns.iter_mut().map(|cooldown| cooldown.as_mut().map(Cooldown::freeze)).collect(),
            watermark: self.watermark,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        self.share(cx);
        let mut entries = 0;
        state::read_blobs(state, cx.groups(), self.fingerprint, &mut watermark, |tag, keys, blob| {
            if tag != ACTED {
                return Err(Error::corrupt(format!("a record in the state of a decision has the unknown tag {tag}")));
            }
            let subject = self.keys.intern_canonical(keys.get(blob)?)?;
            let (rule, time) = (blob.u32()? as usize, blob.i64()?);
            match self.cooldowns.get_mut(rule) {
                Some(Some(cooldown)) => {
                    cooldown.last.load_one(subject)?;
                    cooldown.begin(subject, time);
                }
                _ => return Err(Error::corrupt(format!("state of a decision is of rule {rule}, which keeps none"))),
            }
            entries += 1;
            if entries % ENTRIES_AT_ONCE == 0 { self.fit(cx) } else { Ok(()) }
        })?;
        self.watermark = watermark.unwrap_or(EventTime::MIN);
        self.fit(cx)
    }
}

struct FrozenDecision {
    keys: Keys,
    last: Vec<Option<Table<i64>>>,
    watermark: EventTime,
    fingerprint: u64,
}

impl Frozen for FrozenDecision {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let page = TablePage { tag: ACTED, fingerprint: self.fingerprint };
        for (rule, last) in self.last.iter().enumerate().filter_map(|(rule, last)| Some((rule, last.as_ref()?))) {
            let record = |row: &[i64], out: &mut Encoder| {
                out.u32(rule as u32);
                out.i64(row[0]);
                row[0] != NEVER
            };
            last.put(&self.keys, page, self.watermark, &record, out)?;
        }
        Ok(())
    }
}
