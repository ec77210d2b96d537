//! Faults that can be switched on, to see that the tests catch them.
//!
//! Each is a mistake that somebody could make, in the real code, at the place where it would be made. In a normal
//! build `sabotaged!` is `false` and nothing else: nothing is read, and the compiler drops the branch. Built with
//! `--cfg sabotage`, the environment variable `FOLDLOG_SABOTAGE` names the one fault that is on; `tests/sabotage/run`
//! switches on one after another.
//!
//! Invariant: a name that is used but not listed does not compile, nor, as warnings are errors, one that is listed but
//! not used.

macro_rules! faults {
    ($($(#[$what:meta])+ $name:ident,)+) => {
        /// What can be broken on purpose, by the name that `FOLDLOG_SABOTAGE` has for it.
        #[derive(Clone, Copy, Debug)]
        #[expect(non_camel_case_types, reason = "they are named as the environment names them")]
        pub(crate) enum Fault {
            $($(#[$what])+ $name,)+
        }

        #[cfg(sabotage)]
        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

// The script reads this list: a name a line.
faults! {
    // The algebra.
    /// Of the patches that one fold meets, only the last one is kept.
    older_patches_forgotten,
    /// A delete takes what its maker had not seen.
    delete_beats_change,
    /// Fields that keep their value get the new stamp too.
    stamps_of_whole_entity,
    /// The cursor moves over triggers that were not heard.
    trigger_gap_ignored,
    /// A trigger of an epoch that is held causes a read.
    what_is_held_is_read,
    /// A group goes in two bunches.
    group_split,
    /// A parent's delete does not wait for what drops the reference to it.
    parent_deleted_before_child,
    /// A reference does not wait for what it leads to.
    child_created_before_parent,
    // The codec.
    /// A frame's hash is not compared.
    checksum_not_compared,
    // The journal.
    /// An append answers before it is durable.
    acknowledge_before_commit,
    /// A seal, or anything else but an append, answers before it is durable.
    seal_not_durable,
    /// What is sealed stays pending, so later operations are folded into it.
    fold_into_sealed,
    /// What was done since a create was sealed is judged as if that had not been, so a delete comes to nothing.
    drop_delete_after_unanswered_create,
    /// Edits made while a bunch was open are marked as sent with it.
    settle_forgets_later_edits,
    /// What is to be retried is dropped.
    retried_dropped,
    /// What was refused is forgotten.
    refused_not_parked,
    /// A journal that is opened again gives numbers out twice.
    sequence_reused,
    /// A row that is no newer than what a bare journal holds is applied.
    late_row_integrated,
    // The replica.
    /// What a push came to counts as read, with all that others wrote before it.
    own_push_moves_cursor,
    /// Of a long down sync, only the first page and the last are rebased under.
    pages_between_not_rebased,
    /// A row that is older than what a replica knows is applied.
    late_row_applied,
    /// Fetching everything anew forgets what is unsent.
    start_over_drops_pending,
    /// A value that loses is not written down.
    loser_not_recorded,
    /// A change from elsewhere leaves an entity where it was in the indexes.
    index_not_moved,
    // The sync engine.
    /// An answer is taken for one to whatever is asked now.
    late_answer_taken,
    /// A page may set cursors back.
    page_that_goes_back_taken,
    // The authority.
    /// Whoever saw the latest epoch counts as one who did not.
    epochs_or_equal,
    /// A bunch is known by its number alone.
    bunch_key_without_digest,
    /// The answer to a bunch is not recorded, so it is applied again.
    outcome_not_recorded,
    /// Of a delete that gives way, only the root does.
    unit_taken_apart,
    /// A clock that runs ahead wins for as long as it does.
    future_stamp_not_clamped,
    /// Who read before tombstones were pruned is not told to start over.
    pruned_tombstones_missed,
    /// Unique keys are not looked at.
    clash_not_seen,

    // Merging.
    /// Who deleted an entity is taken to have seen that somebody revived it.
    revival_taken_as_seen,
    /// Of several who deleted an entity, only what one had seen counts.
    deleters_not_joined,
    /// Clashes below a clash are looked for one level deep.
    clashes_not_followed,
    /// The default of a merge may delete what both sides have.
    default_spares_nothing,
    /// References to what lost a clash stay.
    children_not_redirected,
    /// A loser that the authority is not known to have is not deleted there.
    losers_delete_not_sent,
    /// What returned in a merge is taken as known by those who had deleted it.
    returned_for_good,
    /// What a source gave is forgotten.
    given_forgotten,
}

/// Whether a fault is on: `false` in every normal build.
macro_rules! sabotaged {
    ($fault:ident) => {
        $crate::sabotage::is_on($crate::sabotage::Fault::$fault)
    };
}

#[cfg(not(sabotage))]
pub(crate) const fn is_on(_: Fault) -> bool {
    false
}

#[cfg(sabotage)]
pub(crate) fn is_on(fault: Fault) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("FOLDLOG_SABOTAGE").ok().filter(|name| !name.is_empty())?;
        let place = NAMES.iter().position(|listed| *listed == name);
        assert!(place.is_some(), "FOLDLOG_SABOTAGE is {name:?}, which is no fault");
        place
    });
    *chosen == Some(fault as usize)
}
