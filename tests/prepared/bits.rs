//! Every bit of a file turned over, one at a time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

/// What became of damaged files.
#[derive(Default, Debug)]
pub(crate) struct Figures {
    /// It did not open.
    pub(crate) refused: u64,
    /// A call said so.
    pub(crate) failed: u64,
    /// Everything was as before.
    pub(crate) unharmed: u64,
}

/// The bit at which a test failed.
struct Named(usize);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("bit {} of byte {} was turned over", self.0 % 8, self.0 / 8);
        }
    }
}

/// How many bits there are to one that is tried: a prime in every run of the tests, so that every bit of a byte has its
/// turn; all of them where `FOLDLOG_BITS_ONE_IN` is 1.
pub(crate) fn one_in(short: usize) -> usize {
    std::env::var("FOLDLOG_BITS_ONE_IN").map_or(short, |text| text.parse().unwrap())
}

/// The bits of a file, in turns of a few threads.
pub(crate) fn every_bit(bytes: &[u8], one_in: usize, each: impl Fn(&[u8], &mut Figures) + Sync) -> Figures {
    const THREADS: usize = 2;
    let mut all = Figures::default();
    std::thread::scope(|scope| {
        let each = &each;
        let run = |thread: usize| {
            move || {
                let (mut damaged, mut figures) = (bytes.to_vec(), Figures::default());
                for bit in (thread * one_in..bytes.len() * 8).step_by(THREADS * one_in) {
                    let mask = 1 << (bit % 8);
                    damaged[bit / 8] ^= mask;
                    let _named = Named(bit);
                    each(&damaged, &mut figures);
                    damaged[bit / 8] ^= mask;
                }
                figures
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(run(thread))).collect();
        for thread in threads {
            let figures = thread.join().unwrap();
            all.refused += figures.refused;
            all.failed += figures.failed;
            all.unharmed += figures.unharmed;
        }
    });
    all
}
