//! The plan of a history: its row groups in the order of their times, dealt to shares.

use super::position::{PlanDigest, SharePosition};
use crate::StreamSpec;
use crate::layout::{Layout, Stamps, Until};
use crate::placing::CLOCK;
use dataflow::{BadRowPolicy, Bounds, Error, EventTime, Quiet, Result, RowGroup, SplitState, TimedFile, TimedFiles};
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// How many shares a history is cut into, whatever the number of workers: a share is what moves between them.
pub(crate) const SHARES: u16 = 64;

/// A row group in the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedGroup {
    /// The index of its file.
    pub file: usize,
    /// Its index in the file.
    pub index: usize,
    /// How many rows it has, if more than the file itself says so.
    pub rows: Option<u64>,
    /// About how many rows it has.
    pub rows_about: u64,
    /// How many rows of its file come before it, if that is known.
    pub first_row: Option<u64>,
    /// The times between which its rows lie, by what its table tells of it.
    pub span: (i64, i64),
    /// A time after which nothing of it is still to be read once everything up to there was given out; `MAX` when
    /// rows without a time may be among its last ones.
    pub last: i64,
    /// Whether `span` is its own, and not that of all row groups of its file.
    pub has_own_span: bool,
}

/// How a history is read: made once per stream, the same for all its readers.
pub(crate) struct HistoryPlan {
    pub spec: StreamSpec,
    pub files: Arc<dyn TimedFiles>,
    pub layout: Layout,
    /// About how many bytes a decoded row takes.
    pub row_bytes: usize,
    // By their number; number `g` belongs to share `g % SHARES`.
    groups: Vec<PlannedGroup>,
    digest: PlanDigest,
    // Per share the files that its position names.
    named: Vec<Arc<[(String, u64)]>>,
}

impl HistoryPlan {
    /// Plans the reading of a set of files; nothing is opened.
    pub fn new(spec: &StreamSpec, files: Arc<dyn TimedFiles>) -> Result<HistoryPlan> {
        let layout = Layout::of(spec, files.name(), &files.schema())?;
        let row_bytes = row_bytes(&layout, files.as_ref());
        let mut groups: Vec<(i64, PlannedGroup)> = Vec::new();
        for (index, file) in files.files().iter().enumerate() {
            groups.extend(groups_of(spec, &layout, index, file));
        }
        let path = |group: &PlannedGroup| &files.files()[group.file].path;
        // The least event time orders them, not the least row time: it does not change with the stream's delay.
        groups.sort_by(|(a_least, a), (b_least, b)| (a_least, path(a), a.index).cmp(&(b_least, path(b), b.index)));
        let digest = digest(spec, &layout, files.as_ref(), &groups);
        let mut named = vec![Vec::new(); usize::from(SHARES)];
        for file in files.files() {
            named[share_that_names(&file.path)].push((file.path.clone(), file.bytes));
        }
        let named = named.into_iter().map(|mut files| {
            files.sort_unstable();
            files.into()
        });
        let named = named.collect();
        let groups = groups.into_iter().map(|(_, group)| group).collect();
        Ok(HistoryPlan { spec: spec.clone(), files, layout, row_bytes, groups, digest, named })
    }

    /// The same history without the rows of later messages.
    #[must_use]
    pub fn until(mut self, until: Until) -> HistoryPlan {
        self.layout.until = Some(until);
        self
    }

    /// Whether shares that were read to their end are those of this history, with these files.
    pub fn was_read(&self, shares: &[(SplitState, SharePosition)]) -> bool {
        shares.len() == self.shares().len() && shares.iter().all(|(_, position)| position.plan == self.digest)
    }

    /// The shares that have rows, at their beginning.
    pub fn shares(&self) -> Vec<(u16, SharePosition)> {
        let shares = self.groups.len().min(usize::from(SHARES)) as u16;
        (0..shares).map(|share| (share, self.start(share))).collect()
    }

    fn start(&self, share: u16) -> SharePosition {
        SharePosition {
            plan: self.digest,
            files: self.named[usize::from(share % SHARES)].clone(),
            place: None,
            rows_at_place: 0,
            aside: BTreeMap::new(),
            is_finished: false,
        }
    }

    /// A row group by its number.
    pub fn group(&self, number: usize) -> &PlannedGroup {
        &self.groups[number]
    }

    /// The numbers of the row groups of a share, in their order.
    pub fn groups_of(&self, share: u16) -> impl Iterator<Item = usize> {
        (usize::from(share)..self.groups.len()).step_by(usize::from(SHARES))
    }

    /// The share of a row group.
    pub fn share_of(number: usize) -> u16 {
        (number % usize::from(SHARES)) as u16
    }

    /// Refuses positions in another history, naming a file that is missing or new if these positions tell it: those
    /// of all shares do.
    pub fn check(&self, positions: &[(u16, SharePosition)]) -> Result<()> {
        for (share, position) in positions.iter().filter(|(_, position)| position.plan == self.digest) {
            let of_share = |group: u64| group % u64::from(SHARES) == u64::from(*share);
            let is_there = |&group: &u64| group < self.groups.len() as u64 && of_share(group);
            if let Some(group) = position.aside.keys().find(|group| !is_there(group)) {
                return Err(Error::corrupt(format!(
                    "history \"{}\": the position of share {share} names row group {group}, which is none of its own",
                    self.files.name()
                )));
            }
        }
        let others = positions.iter().filter(|(_, position)| !position.is_finished && position.plan != self.digest);
        let others: Vec<_> = others.collect();
        let Some((_, first)) = others.first() else {
            return Ok(());
        };
        let named = others.iter().find_map(|(share, position)| self.difference(*share, position));
        let what = named.unwrap_or_else(|| {
            let (was, is) = (first.plan, self.digest);
            if (was.files, was.bytes) == (is.files, is.bytes) {
                return "its files are cut into other row groups, or its columns, its time column or its delay are \
                        others"
                    .to_owned();
            }
            format!("it has {} files of {} bytes, had {} of {} bytes", is.files, is.bytes, was.files, was.bytes)
        });
        Err(Error::invalid(format!(
            "stream \"{}\": history \"{}\" is not what it was when part of it was read: {what}; bring it back as it \
             was, or begin anew with --fresh",
            self.spec.name,
            self.files.name()
        )))
    }

    /// A file that a position names and the plan lacks, or the other way round.
    fn difference(&self, share: u16, position: &SharePosition) -> Option<String> {
        let is = self.named.get(usize::from(share))?;
        for (path, bytes) in position.files.iter() {
            match is.iter().find(|(other, _)| other == path) {
                None => return Some(format!("file \"{path}\" is missing")),
                Some((_, now)) if now != bytes => {
                    return Some(format!("file \"{path}\" has {now} bytes, had {bytes}"));
                }
                Some(_) => {}
            }
        }
        let new = is.iter().find(|(path, _)| position.files.iter().all(|(other, _)| other != path));
        new.map(|(path, _)| format!("file \"{path}\" is new"))
    }
}

/// The share whose position names a file.
fn share_that_names(path: &str) -> usize {
    (xxh3_64(path.as_bytes()) % u64::from(SHARES)) as usize
}

/// The row groups of a file that have rows, with the least event time of each.
fn groups_of(spec: &StreamSpec, layout: &Layout, file: usize, timed: &TimedFile) -> Vec<(i64, PlannedGroup)> {
    let (mut first_row, mut planned) = (Some(0), Vec::new());
    for (index, group) in timed.groups.iter().enumerate() {
        let bounds = GroupBounds { file: timed, group };
        let event = bounds.of(&layout.time_columns[0]);
        let rows_about = group.rows.unwrap_or(timed.rows.div_ceil(timed.groups.len() as u64));
        let span = bounds.span(spec, layout);
        let may_lack_times = event.is_none_or(|(event, _)| event.nulls > 0 || event.min == i64::MIN);
        planned.push((
            event.map_or(i64::MIN, |(event, _)| event.min),
            PlannedGroup {
                file,
                index,
                rows: group.rows,
                rows_about,
                first_row,
                span,
                last: if may_lack_times { i64::MAX } else { span.1 },
                has_own_span: timed.groups.len() == 1 || group.bounds.iter().any(|(c, _)| *c == layout.time_columns[0]),
            },
        ));
        first_row = first_row.zip(group.rows).map(|(before, rows)| before + rows);
    }
    planned.retain(|(_, group)| group.rows != Some(0));
    planned
}

/// The bounds of a row group: its own, or those of its file.
struct GroupBounds<'a> {
    file: &'a TimedFile,
    group: &'a RowGroup,
}

impl GroupBounds<'_> {
    /// The bounds of a column, and of how many rows they are the bounds.
    fn of(&self, name: &str) -> Option<(Bounds, u64)> {
        let find = |all: &[(String, Bounds)]| all.iter().find(|(column, _)| column == name).map(|(_, bounds)| *bounds);
        let own = find(&self.group.bounds).zip(self.group.rows);
        own.or_else(|| Some((find(&self.file.bounds)?, self.file.rows)))
    }

    /// The times between which the rows lie.
    fn span(&self, spec: &StreamSpec, layout: &Layout) -> (i64, i64) {
        let Some((event, rows)) = self.of(&layout.time_columns[0]) else {
            return (i64::MIN, i64::MAX);
        };
        let has_clocks = layout.stamps != Stamps::Nothing;
        let clock = if has_clocks { self.of(CLOCK) } else { None };
        let open = |clock: i64| EventTime(clock).minus(spec.delay).0;
        if layout.stamps == Stamps::Coordinates && gives_letters(spec) {
            // Rows that are bad leave at the moment still open, which bounds of event times do not tell.
            let clock = clock.filter(|(clock, _)| clock.nulls == 0);
            return (clock.map_or(i64::MIN, |(clock, _)| open(clock.min)), i64::MAX);
        }
        if event.nulls >= rows {
            return (i64::MAX, i64::MAX);
        }
        match clock {
            Some((clock, _)) if clock.nulls == 0 => (event.min.max(open(clock.min)), event.max.max(open(clock.max))),
            Some((clock, rows)) if clock.nulls < rows => (event.min, event.max.max(open(clock.max))),
            _ => (event.min, if has_clocks { i64::MAX } else { event.max }),
        }
    }
}

/// Whether rows that are bad leave, so that they have to be ahead of the watermark.
pub(crate) fn gives_letters(spec: &StreamSpec) -> bool {
    spec.bad_rows == BadRowPolicy::DeadLetter
}

/// Of everything that says which rows a share has, and what their places are.
fn digest(spec: &StreamSpec, layout: &Layout, files: &dyn TimedFiles, groups: &[(i64, PlannedGroup)]) -> PlanDigest {
    let mut hash = Xxh3::new();
    let mut text = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    let declared = &layout.columns[..spec.schema.fields().len()];
    for (name, field) in declared.iter().zip(spec.schema.fields()) {
        text(name);
        text(&field.data_type().to_string());
    }
    text(spec.time_name());
    let mut number = |number: u64| hash.update(&number.to_le_bytes());
    number(u64::from(layout.stamps == Stamps::Coordinates));
    number(spec.delay.0 as u64);
    spec.dedup_key.iter().for_each(|&column| number(column as u64));
    if let (Stamps::Arrivals, Some(arrival)) = (layout.stamps, spec.arrival) {
        number(arrival as u64);
        number(match spec.quiet {
            Quiet::After(quiet) => quiet.0 as u64,
            Quiet::Never => u64::MAX,
        });
    }
    for (least, group) in groups {
        let file = &files.files()[group.file];
        [xxh3_64(file.path.as_bytes()), file.bytes, group.index as u64, *least as u64]
            .into_iter()
            .chain(files.files()[group.file].deletes)
            .for_each(&mut number);
    }
    let bytes = files.files().iter().map(|file| file.bytes).sum();
    PlanDigest { digest: hash.digest(), files: files.files().len() as u64, bytes }
}

/// About how many bytes a decoded row takes.
fn row_bytes(layout: &Layout, files: &dyn TimedFiles) -> usize {
    let schema = files.schema();
    let fixed: usize = layout
        .columns
        .iter()
        .filter_map(|name| schema.field_with_name(name).ok())
        .map(|field| field.data_type().primitive_width().unwrap_or(24))
        .sum();
    let (rows, bytes) = files.files().iter().fold((0, 0), |(r, b), file| (r + file.rows, b + file.bytes));
    fixed.max(2 * bytes.checked_div(rows).unwrap_or(0) as usize) + 24
}
