//! Two authorities that answer alike: the same asks of several accounts, one account erased now and then.

use uuid::Uuid;

use super::GENERATION;
use super::sessions::{Session, comparable};
use crate::algebra::{Answer, Ask, Generation, Millis};
use crate::authority::{Account, Authority};
use crate::testing::laws::Violation;
use crate::workload::random::Random;

/// So many accounts take turns; what one of them holds is for no other there.
const ACCOUNTS: u64 = 3;

/// One account's client, and what each authority calls the present life of its data.
struct Client {
    account: Account,
    session: Session,
    generations: Option<[Generation; 2]>,
}

/// Asks two authorities the same, so many times: both were made with [`schema`](super::schema) and hold nothing yet.
/// Erases an account now and then, after which nothing of it may be there. Generations differ, and are compared by what
/// they do.
///
/// # Errors
/// The first ask that is answered in two ways.
pub fn answers_alike(authorities: [&dyn Authority; 2], seed: u64, steps: u64) -> Result<(), Violation> {
    play(authorities, seed, steps).map_err(|found| Violation {
        law: "authorities answer alike",
        found: format!("seed {seed}: {found}"),
    })
}

fn play(authorities: [&dyn Authority; 2], seed: u64, steps: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut clients = Vec::new();
    for number in 0..ACCOUNTS {
        let account = Account::new(&format!("account {number}")).map_err(|error| error.to_string())?;
        clients.push(Client { account, session: Session::new(seed ^ (number << 32)), generations: None });
    }
    for step in 0..steps {
        let place = usize::try_from(random.below(ACCOUNTS)).unwrap_or(0);
        let Some(client) = clients.get_mut(place) else { continue };
        if random.below(60) == 0 {
            erase(authorities, client).map_err(|found| format!("step {step}: {found}"))?;
            continue;
        }
        let ask = client.session.ask();
        // Who comes behind an erasure knows the generation before it.
        let knows_it = random.below(8) > 0;
        let now = Millis(1_000_000 + step * 1_000);
        let answered = client.ask(authorities, now, &ask, knows_it)?;
        let [one, other] = answered.map(|answer| comparable(without_generation(answer)));
        if one != other {
            return Err(format!("step {step}, {}: asked {ask:?}, {one:?} and {other:?}", client.account));
        }
    }
    Ok(())
}

fn erase(authorities: [&dyn Authority; 2], client: &mut Client) -> Result<(), String> {
    let [one, other] = authorities.map(|authority| authority.erase(&client.account));
    let [one, other] = [said(one)?, said(other)?];
    if one != other {
        return Err(format!("was {} there: {one} and {other}", client.account));
    }
    let before = client.generations;
    client.learn(authorities)?;
    match (before, client.generations) {
        (Some([a, b]), Some([now_a, now_b])) if a == now_a || b == now_b => {
            Err(format!("{} has the generation from before it was erased", client.account))
        }
        (_, _) => Ok(()),
    }
}

impl Client {
    /// Asks both, each by its own generation: the present one, or one that never was.
    fn ask(
        &mut self,
        authorities: [&dyn Authority; 2],
        now: Millis,
        ask: &Ask,
        knows_it: bool,
    ) -> Result<[Answer; 2], String> {
        if self.generations.is_none() {
            self.learn(authorities)?;
        }
        let [a, b] = self.generations.filter(|_| knows_it).unwrap_or([GENERATION; 2]);
        let [one, other] = authorities;
        Ok([
            said(one.answer(&self.account, now, &knowing(ask, a)))?,
            said(other.answer(&self.account, now, &knowing(ask, b)))?,
        ])
    }

    fn learn(&mut self, authorities: [&dyn Authority; 2]) -> Result<(), String> {
        let ask = Ask::LiveSets { generation: Some(Generation(Uuid::nil())) };
        let told = |authority: &dyn Authority| match said(authority.answer(&self.account, Millis(1), &ask))? {
            Answer::StartOver { generation } => Ok(generation),
            other => Err(format!("another generation is not told: {other:?}")),
        };
        let [one, other] = authorities.map(told);
        self.generations = Some([one?, other?]);
        Ok(())
    }
}

/// An ask by whoever knows this generation, if it names one.
fn knowing(ask: &Ask, known: Generation) -> Ask {
    let mut ask = ask.clone();
    match &mut ask {
        Ask::Deliver { generation, .. }
        | Ask::Changes { generation, .. }
        | Ask::Triggers { generation, .. }
        | Ask::LiveSets { generation } => *generation = generation.map(|_| known),
        Ask::Reads { .. } => {}
    }
    ask
}

pub(in crate::testing) fn without_generation(mut answer: Answer) -> Answer {
    match &mut answer {
        Answer::Changes(page) => page.generation = GENERATION,
        Answer::StartOver { generation } => *generation = GENERATION,
        Answer::Delivered(_)
        | Answer::Forked
        | Answer::TooLarge
        | Answer::Triggers(_)
        | Answer::TriggersTooOld
        | Answer::Rows(_)
        | Answer::LiveSets(_)
        | Answer::Busy { .. }
        | Answer::Unauthorised
        | Answer::Offline => {}
    }
    answer
}

fn said<T>(done: Result<T, crate::authority::Error>) -> Result<T, String> {
    done.map_err(|error| format!("the authority says: {error}"))
}
