//! Gathers whatever is waiting into one transaction, and never waits for more.
//!
//! Items queue per merchant; a few workers take a merchant each, with all that it has waiting up to a bound. At one
//! client a batch has one item and costs what a plain call would; under load the batch grows by itself.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use money::MerchantId;
use tokio::sync::{Semaphore, oneshot};

/// What a batcher does with a merchant's batch.
pub trait Work: Send + Sync + 'static {
    /// One request.
    type Item: Send + Sync + 'static;
    /// Its own result.
    type Output: Send + 'static;
    /// Why it failed.
    type Error: Send + Sync + 'static;

    /// Does all of `items` in one transaction and answers in their order.
    fn run(
        &self,
        merchant: MerchantId,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Output>, Self::Error>> + Send;

    /// Whether a batch that failed so may contain members that do not fail by themselves.
    fn worth_splitting(error: &Self::Error) -> bool;
}

/// How a batcher is sized.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Transactions at once.
    pub workers: usize,
    /// Transactions of one merchant at once.
    pub per_merchant: usize,
    /// Items in one transaction.
    pub batch: usize,
    /// Items that may wait.
    pub waiting: usize,
}

/// Why an item was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused<E> {
    /// Too much is waiting. Nothing was done.
    #[error("too many requests are waiting")]
    Full,
    /// The work failed.
    #[error("{0}")]
    Failed(Arc<E>),
    /// The work was given up half-way; what it did is unknown.
    #[error("the work was interrupted")]
    Interrupted,
}

type Reply<W> = oneshot::Sender<Result<<W as Work>::Output, Arc<<W as Work>::Error>>>;
type Waiting<W> = (<W as Work>::Item, Reply<W>);

struct Lane<W: Work> {
    waiting: VecDeque<Waiting<W>>,
    running: usize,
    announced: bool,
}

struct Queue<W: Work> {
    lanes: HashMap<MerchantId, Lane<W>>,
    ready: VecDeque<MerchantId>,
    waiting: usize,
}

struct Inner<W: Work> {
    work: W,
    sizes: Sizes,
    queue: Mutex<Queue<W>>,
    // one permit for each merchant in `ready`
    ready: Semaphore,
}

/// A queue in front of a set-based transaction.
pub struct Batcher<W: Work>(Arc<Inner<W>>);

impl<W: Work> Batcher<W> {
    /// Starts the workers; they end when the batcher is dropped.
    pub fn start(work: W, sizes: Sizes) -> Self {
        let inner = Arc::new(Inner {
            work,
            sizes,
            queue: Mutex::new(Queue { lanes: HashMap::new(), ready: VecDeque::new(), waiting: 0 }),
            ready: Semaphore::new(0),
        });
        for _ in 0..sizes.workers {
            tokio::spawn(serve(Arc::clone(&inner)));
        }
        Self(inner)
    }

    /// Has `item` done with whatever else of the merchant's is waiting.
    ///
    /// # Errors
    /// When too much is waiting, or the work fails.
    pub async fn submit(&self, merchant: MerchantId, item: W::Item) -> Result<W::Output, Refused<W::Error>> {
        let (reply, answer) = oneshot::channel();
        self.0.enqueue(merchant, (item, reply)).map_err(|()| Refused::Full)?;
        match answer.await {
            Ok(result) => result.map_err(Refused::Failed),
            Err(_) => Err(Refused::Interrupted),
        }
    }
}

impl<W: Work> Drop for Batcher<W> {
    fn drop(&mut self) {
        self.0.ready.close();
    }
}

impl<W: Work> Inner<W> {
    fn queue(&self) -> MutexGuard<'_, Queue<W>> {
        // nothing panics while it is held; were it so, the queue would still be whole
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, merchant: MerchantId, waiting: Waiting<W>) -> Result<(), ()> {
        let mut queue = self.queue();
        if queue.waiting >= self.sizes.waiting {
            return Err(());
        }
        queue.waiting += 1;
        let lane = queue.lanes.entry(merchant).or_insert_with(|| Lane {
            waiting: VecDeque::new(),
            running: 0,
            announced: false,
        });
        lane.waiting.push_back(waiting);
        self.announce(&mut queue, merchant);
        Ok(())
    }

    /// Makes a merchant ready for a worker if it has something to do and is allowed one more.
    fn announce(&self, queue: &mut Queue<W>, merchant: MerchantId) {
        let Some(lane) = queue.lanes.get_mut(&merchant) else { return };
        if lane.waiting.is_empty() || lane.announced || lane.running >= self.sizes.per_merchant {
            if lane.waiting.is_empty() && lane.running == 0 && !lane.announced {
                queue.lanes.remove(&merchant);
            }
            return;
        }
        lane.announced = true;
        queue.ready.push_back(merchant);
        self.ready.add_permits(1);
    }

    fn take(&self) -> Option<(MerchantId, Vec<Waiting<W>>)> {
        let mut queue = self.queue();
        let merchant = queue.ready.pop_front()?;
        let lane = queue.lanes.get_mut(&merchant)?;
        lane.announced = false;
        lane.running += 1;
        let size = lane.waiting.len().min(self.sizes.batch);
        let batch: Vec<_> = lane.waiting.drain(..size).collect();
        queue.waiting -= batch.len();
        self.announce(&mut queue, merchant);
        Some((merchant, batch))
    }

    fn done(&self, merchant: MerchantId) {
        let mut queue = self.queue();
        if let Some(lane) = queue.lanes.get_mut(&merchant) {
            lane.running -= 1;
        }
        self.announce(&mut queue, merchant);
    }
}

/// Gives the merchant's place back also when the work panics.
struct Place<W: Work>(Arc<Inner<W>>, MerchantId);

impl<W: Work> Drop for Place<W> {
    fn drop(&mut self) {
        self.0.done(self.1);
    }
}

async fn serve<W: Work>(inner: Arc<Inner<W>>) {
    while let Ok(permit) = inner.ready.acquire().await {
        permit.forget();
        let Some((merchant, batch)) = inner.take() else { continue };
        let place = Place(Arc::clone(&inner), merchant);
        // in a task of its own: a panic ends the batch, not the worker
        let run = tokio::spawn(async move {
            run_batch(&place.0.work, merchant, batch).await;
            drop(place);
        });
        if let Err(error) = run.await {
            tracing::error!(%error, "a batch was interrupted");
        }
    }
}

async fn run_batch<W: Work>(work: &W, merchant: MerchantId, batch: Vec<Waiting<W>>) {
    let (items, replies): (Vec<W::Item>, Vec<Reply<W>>) = batch.into_iter().unzip();
    match work.run(merchant, &items).await {
        Ok(outputs) => {
            for (reply, output) in replies.into_iter().zip(outputs) {
                // whoever asked may be gone; the work stands
                let _ = reply.send(Ok(output));
            }
        }
        // one bad member must not fail its neighbours
        Err(error) if items.len() > 1 && W::worth_splitting(&error) => {
            for (item, reply) in items.iter().zip(replies) {
                answer_alone(work, merchant, item, reply).await;
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for reply in replies {
                let _ = reply.send(Err(Arc::clone(&error)));
            }
        }
    }
}

async fn answer_alone<W: Work>(work: &W, merchant: MerchantId, item: &W::Item, reply: Reply<W>) {
    match work.run(merchant, std::slice::from_ref(item)).await {
        Ok(outputs) => {
            if let Some(output) = outputs.into_iter().next() {
                let _ = reply.send(Ok(output));
            }
        }
        Err(error) => {
            let _ = reply.send(Err(Arc::new(error)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Mutex as AsyncMutex;

    use super::*;

    /// Doubles numbers; a zero fails whatever batch it is in. Holds each batch until the gate is open.
    struct Doubling {
        gate: Arc<AsyncMutex<()>>,
        batches: Arc<Mutex<Vec<Vec<i64>>>>,
    }

    impl Work for Doubling {
        type Item = i64;
        type Output = i64;
        type Error = &'static str;

        async fn run(&self, _: MerchantId, items: &[i64]) -> Result<Vec<i64>, &'static str> {
            drop(self.gate.lock().await);
            self.batches.lock().unwrap().push(items.to_vec());
            if items == [-1] {
                panic!("as asked");
            }
            if items.contains(&0) { Err("zero") } else { Ok(items.iter().map(|item| item * 2).collect()) }
        }

        fn worth_splitting(_: &&'static str) -> bool {
            true
        }
    }

    type Batches = Arc<Mutex<Vec<Vec<i64>>>>;

    fn start(sizes: Sizes) -> (Arc<Batcher<Doubling>>, Arc<AsyncMutex<()>>, Batches) {
        let (gate, batches) = (Arc::new(AsyncMutex::new(())), Batches::default());
        let work = Doubling { gate: Arc::clone(&gate), batches: Arc::clone(&batches) };
        (Arc::new(Batcher::start(work, sizes)), gate, batches)
    }

    const ONE_BY_ONE: Sizes = Sizes { workers: 1, per_merchant: 1, batch: 100, waiting: 5 };

    /// Submits from tasks that have surely queued their items when this returns.
    async fn queue(
        batcher: &Arc<Batcher<Doubling>>,
        merchant: MerchantId,
        items: &[i64],
    ) -> Vec<tokio::task::JoinHandle<Result<i64, Refused<&'static str>>>> {
        let mut tasks = Vec::new();
        for &item in items {
            let batcher = Arc::clone(batcher);
            tasks.push(tokio::spawn(async move { batcher.submit(merchant, item).await }));
            // one thread: the task runs up to its wait, and the worker up to the gate
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        tasks
    }

    #[tokio::test]
    async fn what_waits_goes_together_and_a_bad_member_fails_alone() {
        let (batcher, gate, batches) = start(ONE_BY_ONE);
        let held = gate.lock().await;
        let tasks = queue(&batcher, MerchantId::new(), &[1, 2, 0, 4]).await;
        drop(held);
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap().ok());
        }
        assert_eq!(results, [Some(2), Some(4), None, Some(8)]);
        assert_eq!(*batches.lock().unwrap(), [vec![1], vec![2, 0, 4], vec![2], vec![0], vec![4]]);
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let (batcher, gate, _) = start(ONE_BY_ONE);
        let held = gate.lock().await;
        let tasks = queue(&batcher, MerchantId::new(), &[1, 2, 3, 4, 5, 6, 7]).await;
        drop(held);
        let mut refused = 0;
        for task in tasks {
            refused += usize::from(matches!(task.await.unwrap(), Err(Refused::Full)));
        }
        assert_eq!(refused, 1, "one runs, five wait");
    }

    #[tokio::test]
    async fn a_panic_ends_its_batch_and_nothing_else() {
        let (batcher, _, _) = start(ONE_BY_ONE);
        let merchant = MerchantId::new();
        assert!(matches!(batcher.submit(merchant, -1).await, Err(Refused::Interrupted)));
        assert_eq!(batcher.submit(merchant, 3).await.ok(), Some(6));
        assert!(batcher.0.queue().lanes.is_empty(), "an idle merchant costs nothing");
    }

    #[tokio::test]
    async fn one_merchant_does_not_wait_for_another() {
        let (batcher, gate, batches) = start(Sizes { workers: 2, ..ONE_BY_ONE });
        let held = gate.lock().await;
        let mut tasks = queue(&batcher, MerchantId::new(), &[1, 2]).await;
        tasks.extend(queue(&batcher, MerchantId::new(), &[7]).await);
        drop(held);
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(batches.lock().unwrap()[..2], [vec![1], vec![7]]);
    }
}
