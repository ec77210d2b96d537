//! One id that several files know differently: what becomes of it, by the policy of its collection.
//!
//! | policy | a field that both changed | a deletion and a change that it had not seen |
//! |---|---|---|
//! | `LastOperation` | the later stamp | the change |
//! | `Newest` | the later stamp | the later one |
//! | `FirstToAuthority` | the destination's | the destination's |
//! | `Manual` | a clash of the id with itself | a clash of the id with itself |
//!
//! The first two ask nothing but the marks, so no order of the files matters. The other two take one file after the
//! other, and hold both sides against the rows that both are known to have had.

use std::collections::BTreeSet;

use super::joint::{At, Content, Joint, Known, Seen, joined, time};
use super::losing::{Had, Losing, Loss, patch_of};
use super::resolution::{How, Keep, Side, With};
use crate::algebra::{Error, Millis, Patch, Policy, ReplicaId, Stamp, Version};

/// What a merge makes of one id.
#[derive(Clone, Debug, Default)]
pub(super) struct Same {
    /// What it was after each file: the number of the file, the version. The last one is what it comes to.
    pub(super) steps: Vec<(usize, Version)>,
    /// What its deleters had seen.
    pub(super) seen: Option<Seen>,
    /// Whether it is a clash of the id with itself, decided or not.
    pub(super) is_clash: bool,
    /// What lost.
    pub(super) losses: Vec<Loss>,
}

/// What the files know of an id.
pub(super) struct Sides<'a> {
    pub(super) dest: &'a Known,
    /// The sources that know something else than the destination, with their numbers.
    pub(super) sources: &'a [(usize, Known)],
    /// For each of these, the versions that both it and the destination are known to have had.
    pub(super) commons: &'a [Vec<Version>],
    /// What was decided about it, if that was.
    pub(super) how: Option<&'a How>,
    /// Whoever edits, and when.
    pub(super) editor: (ReplicaId, Millis),
    /// Whether no two of the files write under one name.
    pub(super) are_apart: bool,
}

impl Sides<'_> {
    /// What becomes of it.
    pub(super) fn joined(&self, policy: Policy) -> Result<Same, Error> {
        match policy {
            Policy::LastOperation | Policy::Newest => self.by_marks(policy),
            Policy::FirstToAuthority | Policy::Manual => self.in_order(policy),
        }
    }

    fn by_marks(&self, policy: Policy) -> Result<Same, Error> {
        let sources = self.sources.iter().map(|(file, known)| (*file, known));
        let all: Vec<(usize, &Known, Joint)> = std::iter::once((0, self.dest))
            .chain(sources)
            .map(|(file, known)| (file, known, Joint::known(known)))
            .collect();
        let mut joint = Joint::default();
        let mut same = Same::default();
        for (file, _, known) in &all {
            joint = joint.join(known);
            if *file > 0 {
                same.steps.push((*file, joint.version(policy)?));
            }
        }
        if same.steps.is_empty() {
            // What follows from other entities is looked at anew.
            same.steps.push((0, joint.version(policy)?));
        }
        let mut kept: BTreeSet<(String, String)> = BTreeSet::new();
        for side in &all {
            let Some(mut loss) = self.lost(side, &all, &joint, policy) else { continue };
            // One value is kept once, whoever has it.
            let news: BTreeSet<String> = (loss.fields.iter())
                .filter(|(name, value)| kept.insert((name.clone(), (*value).to_owned())))
                .map(|(name, _)| name)
                .collect();
            loss.fields = loss.fields.only(|name| news.contains(name));
            same.losses.extend((loss.was_delete || !loss.fields.is_empty()).then_some(loss));
        }
        same.seen = joint.seen;
        Ok(same)
    }

    fn in_order(&self, policy: Policy) -> Result<Same, Error> {
        let mut same = Same::default();
        let at_first = Stand::of(self.dest);
        let mut stands = at_first.clone();
        // Tombstones go first.
        let numbered = || self.sources.iter().zip(self.commons);
        let is_dead = |known: &Known| !known.version.existence.is_live();
        let dead = numbered().filter(|((_, known), _)| is_dead(known));
        let live = numbered().filter(|((_, known), _)| !is_dead(known));
        for ((file, known), commons) in dead.chain(live) {
            let commons: Vec<Stand> = commons
                .iter()
                .map(|had| Stand::of(&Known { version: had.clone(), ..Known::default() }))
                .collect();
            let step = Step {
                cur: &stands,
                source: &Stand::of(known),
                commons: &commons,
                at_first: &at_first,
                file: *file,
            };
            let done = step.taken(policy, self.how)?;
            same.is_clash |= done.is_clash;
            same.losses.extend(done.losses);
            stands = done.stands;
            if done.is_clash
                && let Some(How::Modify { to, .. }) = self.how
            {
                stands = Stand { joint: edited(&stands.joint, to, self.editor), is_live: true };
            }
            same.steps.push((*file, stands.version()?));
        }
        same.seen = stands.joint.seen;
        Ok(same)
    }

    /// What a file loses where this came of it.
    fn lost(
        &self,
        (file, known, joint): &(usize, &Known, Joint),
        all: &[(usize, &Known, Joint)],
        result: &Joint,
        policy: Policy,
    ) -> Option<Loss> {
        let (ours, kept) = (joint.content.as_ref()?, result.content.as_ref()?);
        let (is_live, lives) = (known.version.existence.is_live(), result.lives(policy));
        let file = *file;
        if is_live && lives && ours.fields == kept.fields {
            return None;
        }
        let of = |version: &Version| Stand::of(&Known { version: version.clone(), ..Known::default() });
        // What both had, whoever won has seen, if it was one of the two.
        let had: Vec<(Stand, Joint)> = (self.sources.iter().zip(self.commons))
            .filter(|((of, _), _)| file == 0 || *of == file)
            .flat_map(|((_, source), commons)| {
                let by = Joint::known(if file == 0 { source } else { self.dest });
                commons.iter().map(move |version| (of(version), by.clone()))
            })
            .collect();
        if !is_live {
            let side = Stand::of(known);
            let gave_way = lives && time(kept.revived) <= time(known.version.stamps.turned);
            let was_known = had.iter().any(|(had, _)| had.is_as(&side));
            return (gave_way && !was_known).then(|| Loss { file, fields: Patch::empty(), was_delete: true });
        }
        let others: Vec<&Content> = all.iter().filter_map(|(_, _, joint)| joint.content.as_ref()).collect();
        let had: Vec<Had<'_>> = had
            .iter()
            .filter_map(|(had, by)| {
                Some(Had { content: had.joint.content.as_ref()?, by: by.content.as_ref() })
            })
            .collect();
        let losing = Losing { ours, kept, others: &others, had: &had, are_apart: self.are_apart };
        let fields = losing.fields(result.seen.as_ref().filter(|_| !lives));
        Loss::of(file, fields)
    }
}

impl Stand {
    fn of(known: &Known) -> Self {
        Stand { joint: Joint::known(known), is_live: known.version.existence.is_live() }
    }

    /// Whether both know the same of it: what it is, and since when.
    fn is_as(&self, other: &Stand) -> bool {
        let alike = |a: &Content, b: &Content| {
            let mut names = a.fields.keys().chain(b.fields.keys());
            time(a.revived) == time(b.revived) && names.all(|name| a.mark(name) == b.mark(name))
        };
        let both = self.joint.content.as_ref().zip(other.joint.content.as_ref());
        self.is_live == other.is_live && both.is_some_and(|(one, two)| alike(one, two))
    }

    fn version(&self) -> Result<Version, Error> {
        let Joint { content: Some(content), seen } = &self.joint else { return Ok(Version::default()) };
        content.version((!self.is_live).then(|| seen.as_ref().and_then(|seen| seen.at)))
    }
}

/// One source against what stands.
struct Step<'a> {
    cur: &'a Stand,
    source: &'a Stand,
    /// What both had.
    commons: &'a [Stand],
    /// What the destination had before any source.
    at_first: &'a Stand,
    file: usize,
}

/// What is known of an entity, and whether it was decided that it lives.
#[derive(Clone)]
struct Stand {
    joint: Joint,
    is_live: bool,
}

struct Done {
    stands: Stand,
    is_clash: bool,
    losses: Vec<Loss>,
}

impl Step<'_> {
    fn taken(&self, policy: Policy, how: Option<&How>) -> Result<Done, Error> {
        let seen = joined(&self.cur.joint.seen, &self.source.joint.seen, Seen::join);
        let done = |content: Option<Content>, is_live, is_clash, losses| Done {
            stands: Stand { joint: Joint { content, seen: seen.clone() }, is_live },
            is_clash,
            losses,
        };
        let (is_ours, is_theirs) = (self.cur.is_live, self.source.is_live);
        let Some(theirs) = &self.source.joint.content else {
            return Ok(done(self.cur.joint.content.clone(), is_ours, false, Vec::new()));
        };
        let Some(ours) = &self.cur.joint.content else {
            return Ok(done(Some(theirs.clone()), is_theirs, false, Vec::new()));
        };
        if self.had_by_source().any(|had| had.is_as(self.source)) {
            return Ok(done(Some(ours.clone()), is_ours, false, Vec::new()));
        }
        // Nothing was done here since the source had it.
        if self.commons.iter().any(|had| had.is_as(self.cur)) {
            return Ok(done(Some(theirs.clone()), is_theirs, false, Vec::new()));
        }
        if is_ours && is_theirs {
            return Ok(self.fields(ours, theirs, policy, how, &seen));
        }
        let content = ours.join(theirs);
        let covers = |content: &Content| seen.as_ref().is_none_or(|seen| seen.covers(content));
        let (live, other, file) = if is_ours { (ours, theirs, 0) } else { (theirs, ours, self.file) };
        let had = self.had();
        // What was decided carries the stamp of whoever lost: of who wrote it nothing can be told.
        let losing = Losing { ours: live, kept: other, others: &[other], had: &had, are_apart: false };
        if !is_ours && !is_theirs {
            return Ok(done(Some(content), false, false, Vec::new()));
        }
        if covers(live) {
            // Whoever deleted it had seen all of what lives, as far as times tell.
            let loss = Loss::of(file, losing.fields(None));
            return Ok(done(Some(other.clone()), false, false, loss.into_iter().collect()));
        }
        let is_clash = policy == Policy::Manual;
        let chooses_source = is_clash && how.is_some_and(|how| self.chooses_source(how));
        if is_ours != chooses_source {
            // The deletion gave way.
            let file = if is_ours { self.file } else { 0 };
            let mut lives = self.fields(ours, theirs, policy, how, &seen);
            lives.losses.push(Loss { file, fields: Patch::empty(), was_delete: true });
            lives.is_clash = is_clash;
            return Ok(lives);
        }
        // What had not been seen goes too; from now on it has been.
        let fields = losing.fields(seen.as_ref());
        let loss = Loss::of(file, fields);
        let mut gone = done(Some(other.clone()), false, is_clash, loss.into_iter().collect());
        if is_ours {
            gone.stands.joint.seen = seen.clone().map(|seen| seen.join(&Seen::all_of(&content)));
            gone.stands.joint.content = Some(content);
        }
        Ok(gone)
    }

    fn had(&self) -> Vec<Had<'_>> {
        let contents = self.commons.iter().filter_map(|had| had.joint.content.as_ref());
        contents.map(|content| Had { content, by: None }).collect()
    }

    /// Both live: field by field.
    fn fields(
        &self,
        ours: &Content,
        theirs: &Content,
        policy: Policy,
        how: Option<&How>,
        seen: &Option<Seen>,
    ) -> Done {
        let chooses_source = policy == Policy::Manual && how.is_some_and(|how| self.chooses_source(how));
        let mut content = Content {
            created: ours.created.max(theirs.created),
            fields: Default::default(),
            revived: ours.revived.max(theirs.revived),
        };
        let is_in = |stands: &Stand, name: &str, mark: At<'_>| {
            stands.joint.content.as_ref().is_some_and(|content| content.mark(name) == mark)
        };
        let (mut lost, mut is_clash) = (Vec::new(), false);
        for name in ours.fields.keys().chain(theirs.fields.keys()) {
            if content.fields.contains_key(name) {
                continue;
            }
            let (mine, other) = (ours.mark(name), theirs.mark(name));
            let later = mine.0.max(other.0);
            let value = if mine.1 == other.1 || self.had_by_source().any(|had| is_in(had, name, other)) {
                mine.1
            } else if self.commons.iter().any(|had| is_in(had, name, mine)) {
                other.1
            } else {
                is_clash |= policy == Policy::Manual;
                let (kept, loser, of) = match chooses_source {
                    true => (other.1, mine.1, ours),
                    false => (mine.1, other.1, theirs),
                };
                lost.extend(of.had(name).then_some((name.as_str(), loser)));
                kept
            };
            content.fields.insert(name.clone(), (later, value.map(str::to_owned)));
        }
        let file = if chooses_source { 0 } else { self.file };
        let fields = patch_of(lost);
        let losses = Loss::of(file, fields);
        Done {
            stands: Stand { joint: Joint { content: Some(content), seen: seen.clone() }, is_live: true },
            is_clash,
            losses: losses.into_iter().collect(),
        }
    }

    /// What the source may have as it was: then it changed nothing.
    fn had_by_source(&self) -> impl Iterator<Item = &Stand> {
        self.commons.iter().chain([self.at_first])
    }

    fn chooses_source(&self, how: &How) -> bool {
        match how {
            How::Keep(Keep { with: With::Source, .. }) | How::Modify { side: Side::Source, .. } => true,
            How::Keep(Keep { with: With::Dest, .. }) | How::Modify { side: Side::Dest, .. } => false,
            How::Keep(Keep { with: With::Newest, .. }) => {
                self.source.joint.latest() > self.cur.joint.latest()
            }
        }
    }
}

/// An edit of now, after all that was there.
pub(super) fn edited(joint: &Joint, to: &Patch, (editor, now): (ReplicaId, Millis)) -> Joint {
    let mut edited = joint.clone();
    let content = edited.content.get_or_insert_default();
    let after = content.latest().map_or(Millis(0), Millis::next);
    let stamp = Stamp { at: now.max(after), replica: Some(editor) };
    for (name, value) in to.iter() {
        let value = (value != "null").then(|| value.to_owned());
        content.fields.insert(name, (Some(stamp), value));
    }
    edited
}

impl Seen {
    /// As of somebody who has seen all of it, and deletes it at once.
    pub(super) fn all_of(content: &Content) -> Seen {
        let latest = content.latest().map(Stamp::own);
        Seen {
            at: latest,
            created: time(content.created),
            fields: content.fields.iter().map(|(name, (stamp, _))| (name.clone(), time(*stamp))).collect(),
        }
    }
}

impl Joint {
    fn latest(&self) -> Option<Millis> {
        let content = self.content.as_ref().and_then(Content::latest);
        content.max(self.seen.as_ref().and_then(|seen| time(seen.at)))
    }
}

impl Version {
    /// Whether it is one in all that a merge looks at: what it is, and when its fields were changed.
    pub(super) fn is_as_merged<'a>(&'a self, other: &'a Version) -> bool {
        // Whatever is not listed has the stamp of its creation.
        let listed = |version: &'a Version| version.stamps.fields.iter().map(|(name, _)| name);
        self.existence == other.existence
            && time(self.stamps.turned) == time(other.stamps.turned)
            && self.stamps.created == other.stamps.created
            && listed(self).chain(listed(other)).all(|name| self.stamps.of(name) == other.stamps.of(name))
    }
}
