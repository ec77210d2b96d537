//! The authority's own tables, which are the same whatever the schema: how they are made, and what is said to them.

use super::names::quoted;

/// How the tables came to be, a step for each layout; `NS.` stands for the namespace. A step that was released never
/// changes again.
pub(super) const STEPS: [&str; 2] = ["
CREATE TABLE NS.layout (
    the_one boolean PRIMARY KEY DEFAULT true CHECK (the_one),
    version bigint NOT NULL,
    -- Counts the schemas that were served, so that a server with an earlier one notices.
    served bigint NOT NULL DEFAULT 0,
    schema text
);
INSERT INTO NS.layout (version) VALUES (0);
CREATE TABLE NS.collections (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE \"C\" NOT NULL UNIQUE,
    live text NOT NULL,
    archive text NOT NULL
);
CREATE TABLE NS.columns (
    collection integer NOT NULL REFERENCES NS.collections,
    name text COLLATE \"C\" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('value', 'reference')),
    -- As JSON, as a name may hold what text cannot.
    field text NOT NULL,
    PRIMARY KEY (collection, name)
);
CREATE TABLE NS.constraints (
    collection integer NOT NULL REFERENCES NS.collections,
    name text COLLATE \"C\" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('unique', 'foreign', 'index')),
    fields text NOT NULL,
    PRIMARY KEY (collection, name)
);
CREATE TABLE NS.accounts (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE \"C\" NOT NULL UNIQUE,
    generation uuid NOT NULL,
    last_trigger bigint NOT NULL DEFAULT 0,
    -- Triggers up to this one are gone.
    triggers_from bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE NS.counters (
    account bigint NOT NULL,
    collection integer NOT NULL,
    last_epoch bigint NOT NULL,
    floor bigint NOT NULL,
    live_count bigint NOT NULL,
    live_sum bytea NOT NULL,
    PRIMARY KEY (account, collection)
) WITH (fillfactor = 50);
CREATE TABLE NS.answers (
    account bigint NOT NULL,
    replica uuid NOT NULL,
    bunch bigint NOT NULL,
    digest bytea NOT NULL,
    outcomes text NOT NULL,
    PRIMARY KEY (account, replica, bunch)
);
-- A row holds the triggers of one commit, or a part of them.
CREATE TABLE NS.triggers (
    account bigint NOT NULL,
    last bigint NOT NULL,
    first bigint NOT NULL,
    sender uuid,
    collections integer[] NOT NULL,
    ids uuid[] NOT NULL,
    epochs bigint[] NOT NULL,
    deletes boolean[] NOT NULL,
    PRIMARY KEY (account, last)
);
", "
-- What is needed at first of an account, by its name: in one call, as each costs as much as what it does. No row where
-- there is none. What is read once the account is locked is as the transaction before left it.
CREATE FUNCTION NS.begun(
    of text, locks boolean, by uuid, bunch bigint,
    OUT number bigint, OUT generation uuid, OUT last_trigger bigint, OUT triggers_from bigint, OUT served bigint,
    OUT digest bytea, OUT outcomes text, OUT collections integer[], OUT last_epochs bigint[], OUT floors bigint[],
    OUT live_counts bigint[], OUT live_sums bytea[]
) RETURNS SETOF record LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
    IF locks THEN
        PERFORM FROM NS.accounts WHERE name = of FOR UPDATE;
        -- One that was made since is not locked.
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT account.number, account.generation, account.last_trigger, account.triggers_from, layout.served,
        answer.digest, answer.outcomes, counted.collections, counted.last_epochs, counted.floors, counted.live_counts,
        counted.live_sums
    FROM NS.accounts AS account LEFT JOIN NS.layout AS layout ON true
    LEFT JOIN NS.answers AS answer
        ON answer.account = account.number AND answer.replica = by AND answer.bunch = begun.bunch
    CROSS JOIN LATERAL (
        SELECT array_agg(counter.collection) AS collections, array_agg(counter.last_epoch) AS last_epochs,
            array_agg(counter.floor) AS floors, array_agg(counter.live_count) AS live_counts,
            array_agg(counter.live_sum) AS live_sums
        FROM NS.counters AS counter WHERE counter.account = account.number
    ) AS counted
    WHERE account.name = of;
END $body$;
"];

/// A statement with the namespace in it.
pub(super) fn at(text: &str, namespace: &str) -> String {
    text.replace("NS.", &format!("{}.", quoted(namespace)))
}

/// What is said to the own tables; where nothing else is said, `$1` is the account's number.
#[derive(Debug)]
pub(super) struct Own {
    /// What is needed at first of an account by its name (`$1`), until the end of the transaction nobody else's where
    /// asked for (`$2`), with the answer to a replica's (`$3`) bunch (`$4`).
    pub(super) begun: String,
    /// The number of an account by its name (`$1`), until the end of the transaction nobody else's.
    pub(super) lock: String,
    /// Makes an account of this name (`$1`) and generation (`$2`).
    pub(super) make: String,
    /// The answer to a replica's (`$2`) bunch (`$3`).
    pub(super) answer: String,
    /// Writes what stands beside the rows, in one statement: triggers (`$2` to `$9`) and counters (`$10` to `$14`, an
    /// array a column), and records an answer (`$15` to `$18`); nulls where there are none.
    pub(super) beside: String,
    pub(super) triggers: String,
    pub(super) forget_triggers: String,
}

impl Own {
    pub(super) fn new(namespace: &str) -> Self {
        let of = |text: &str| at(text, namespace);
        Own {
            begun: of("SELECT * FROM NS.begun($1, $2, $3, $4)"),
            lock: of("SELECT number FROM NS.accounts WHERE name = $1 FOR UPDATE"),
            make: of(
                "INSERT INTO NS.accounts (name, generation) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
            ),
            answer: of(
                "SELECT digest, outcomes FROM NS.answers WHERE account = $1 AND replica = $2 AND bunch = $3",
            ),
            beside: of(
                "WITH told AS (INSERT INTO NS.triggers (account, first, last, sender, collections, ids, epochs, deletes) \
                 SELECT $1::bigint, $2::bigint, $3::bigint, $4::uuid, $5::integer[], $6::uuid[], $7::bigint[], \
                 $8::boolean[] WHERE $3 IS NOT NULL), passed AS (UPDATE NS.accounts SET last_trigger = $3, triggers_from \
                 = $9::bigint WHERE number = $1 AND $3 IS NOT NULL), counted AS (INSERT INTO NS.counters (account, \
                 collection, last_epoch, floor, live_count, live_sum) SELECT $1, given.* FROM unnest($10::integer[], \
                 $11::bigint[], $12::bigint[], $13::bigint[], $14::bytea[]) AS given ON CONFLICT (account, collection) DO \
                 UPDATE SET last_epoch = excluded.last_epoch, floor = excluded.floor, live_count = excluded.live_count, \
                 live_sum = excluded.live_sum) INSERT INTO NS.answers (account, replica, bunch, digest, outcomes) SELECT \
                 $1, $15::uuid, $16::bigint, $17::bytea, $18::text WHERE $15 IS NOT NULL",
            ),
            triggers: of(
                "SELECT first, sender, collections, ids, epochs, deletes FROM NS.triggers WHERE account = $1 \
                          AND last > $2 ORDER BY last LIMIT $3",
            ),
            forget_triggers: of("DELETE FROM NS.triggers WHERE account = $1 AND last <= $2"),
        }
    }
}
