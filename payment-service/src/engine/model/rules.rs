//! What can happen, and what comes of it. Every decision of a worker is the product's.

use super::books::Ledger;
use super::psp::{Psp, Shape, declined};
use super::world::{Broken, Clock, Fate, Glance, Reply, Stage, Step, Worker, World};
use super::{GIVING_UP, LAST_TAKEOVERS, TAKEOVERS};
use crate::engine::Settings;
use crate::engine::resolve::{self, finding_of, next_step};
use crate::operation::{By, Finding, OperationKind};
use crate::psp::steps::{
    Answer, Asked, Closing, Next, after_cancelling, after_inquiry, after_look_up, after_sending, closed,
    may_resend,
};
use crate::psp::{Action, Idempotency, Judgement, NotSentCode, Outcome, Psp as Connector, PspReference, Why};
use crate::webhook::{Word, word_of};

/// How many workers there are, those that stand still among them.
const WORKERS: usize = 2;

/// The rules for one operation at one PSP.
pub(super) struct Rules {
    pub(super) ledger: Ledger,
    pub(super) idempotency: Idempotency,
    settings: Settings,
}

impl Rules {
    pub(super) fn new(kind: OperationKind, idempotency: Idempotency) -> Self {
        Self { ledger: Ledger::new(kind), idempotency, settings: Settings::default() }
    }

    /// Everything that can happen.
    pub(super) fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        for (who, worker) in world.workers.iter().enumerate() {
            self.steps_of(world, who, worker, steps);
        }
        self.steps_of_time(world, steps);
        self.steps_of_the_psp(world, steps);
    }

    fn steps_of(&self, world: &World, who: usize, worker: &Worker, steps: &mut Vec<Step>) {
        let has_fault = world.left.faults > 0;
        match &worker.stage {
            Stage::Ready(_) if worker.is_overdue => steps.push(Step::Try(who, Fate::Overdue, false)),
            Stage::Ready(_) => {
                steps.push(Step::Send(who));
                if has_fault {
                    steps.push(Step::Try(who, Fate::Overdue, false));
                    self.push_try(world, who, Fate::Unreached, steps);
                }
            }
            Stage::Sent(_) => self.steps_of_the_wire(world, who, steps),
            Stage::Asking(_) if worker.is_overdue => steps.push(Step::Ask(who, Reply::Lost)),
            Stage::Asking(_) => {
                steps.push(Step::Ask(who, Reply::Given));
                if has_fault {
                    steps.extend([Reply::Lagging, Reply::Lost].map(|reply| Step::Ask(who, reply)));
                }
            }
            Stage::Closing(..) if worker.is_overdue => steps.push(Step::Close(who, Reply::Lost)),
            Stage::Closing(..) => {
                steps.push(Step::Close(who, Reply::Given));
                if has_fault {
                    steps.extend([Reply::AnswerLost, Reply::Lost].map(|reply| Step::Close(who, reply)));
                }
            }
            Stage::Answered(_) => {
                steps.push(Step::Record(who));
                if has_fault {
                    steps.push(Step::RecordUnheard(who));
                }
            }
        }
        if world.left.crashes > 0 {
            steps.push(Step::Crash(who));
        }
    }

    fn steps_of_the_wire(&self, world: &World, who: usize, steps: &mut Vec<Step>) {
        for &reaction in world.psp.reactions(self.idempotency) {
            self.push_try(world, who, Fate::Answered(reaction), steps);
            if world.left.faults > 0 {
                self.push_try(world, who, Fate::AnswerLost(reaction), steps);
            }
            // a request that the network doubles is done twice wherever the PSP keeps no keys: nobody can help that
            if world.left.faults > 0 && self.idempotency == Idempotency::Native {
                self.push_try(world, who, Fate::Doubled(reaction), steps);
            }
        }
        if world.left.faults > 0 {
            for fate in [Fate::Lost, Fate::Delayed, Fate::TurnedAway, Fate::Refused] {
                self.push_try(world, who, fate, steps);
            }
            if world.psp.is_known_key() && self.idempotency == Idempotency::Native {
                self.push_try(world, who, Fate::InFlight, steps);
            }
        }
    }

    /// A try, and, where the product may send it again, also that it will.
    fn push_try(&self, world: &World, who: usize, fate: Fate, steps: &mut Vec<Step>) {
        steps.push(Step::Try(who, fate, false));
        let (answer, _) = self.answer_to(&mut world.psp.clone(), fate);
        let is_in_time = !world.workers[who].is_overdue;
        if is_in_time && may_resend(self.action(), &answer, None, self.idempotency) {
            steps.push(Step::Try(who, fate, true));
        }
    }

    fn steps_of_time(&self, world: &World, steps: &mut Vec<Step>) {
        let books = &world.books;
        if books.is_leased && books.is_due && may_stand_still(world) {
            steps.push(Step::LeaseEnds);
        }
        let may_look = world.left.takeovers > 0 && world.workers.len() < WORKERS;
        if books.is_due && !books.is_leased && may_look {
            steps.push(Step::TakeOver);
        }
        let is_waiting = world.workers.iter().any(|worker| matches!(worker.stage, Stage::Sent(_)));
        let is_undecided = world.psp.objects.contains(&Shape::Pending);
        // the network keeps nothing for hours, and the PSP decides within days
        if !books.is_leased && books.is_due && !is_waiting && !is_undecided {
            match world.clock {
                Clock::Young | Clock::Late => steps.push(Step::Tick),
                Clock::Old => {}
            }
        }
    }

    fn steps_of_the_psp(&self, world: &World, steps: &mut Vec<Step>) {
        if world.strays > 0 {
            let reactions = world.psp.reactions(self.idempotency).iter();
            steps.extend(reactions.map(|&reaction| Step::StrayArrives(reaction)));
        }
        for (object, shape) in world.psp.objects.iter().enumerate() {
            match shape {
                Shape::Pending => {
                    steps.extend([true, false].map(|is_done| Step::Settle(object, is_done)));
                }
                Shape::Open if world.left.faults > 0 => steps.push(Step::PaidLate(object)),
                Shape::Open | Shape::Held | Shape::Done | Shape::Closed => {}
            }
        }
        let mut webhooks = world.psp.webhooks.clone();
        webhooks.dedup();
        for sight in webhooks {
            steps.push(Step::Webhook(sight));
            if world.left.faults > 0 {
                steps.push(Step::WebhookTwice(sight));
            }
        }
    }

    /// Whether something will happen, whatever the network brings.
    pub(super) fn can_go_on(&self, world: &World) -> bool {
        let mut steps = Vec::new();
        self.steps_of_time(world, &mut steps);
        !world.workers.is_empty() || !steps.is_empty() || world.psp.objects.contains(&Shape::Pending)
    }

    /// What `step` makes of `world`.
    pub(super) fn after(&self, world: &World, step: Step) -> World {
        let mut next = world.clone();
        next.left.faults -= u8::from(self.is_fault(world, &step));
        match step {
            Step::Send(who) => self.send(&mut next, who),
            Step::Try(who, fate, again) => self.tried(&mut next, who, fate, again),
            Step::Ask(who, reply) => self.ask(&mut next, who, reply),
            Step::Close(who, reply) => self.close(&mut next, who, reply),
            Step::Record(who) => {
                self.record(&mut next, who);
                next.workers.remove(who);
            }
            Step::RecordUnheard(who) => self.record(&mut next, who),
            Step::Crash(who) => {
                next.left.crashes -= 1;
                let crashed = next.workers.remove(who);
                next.strays += u8::from(matches!(crashed.stage, Stage::Sent(_)));
            }
            Step::TakeOver => self.take_over(&mut next),
            Step::LeaseEnds => lease_ends(&mut next),
            Step::Tick => tick(&mut next),
            Step::StrayArrives(reaction) => {
                next.strays -= 1;
                let _nobody_hears = next.psp.get(&self.ledger, self.idempotency, reaction);
            }
            Step::Settle(object, is_done) => next.psp.settle(&self.ledger, object, is_done),
            Step::PaidLate(object) => next.psp.settle(&self.ledger, object, true),
            Step::Webhook(sight) => {
                next.psp.came(sight);
                self.hear(&mut next, sight);
            }
            Step::WebhookTwice(sight) => self.hear(&mut next, sight),
        }
        next.with_least_fences()
    }

    fn is_fault(&self, world: &World, step: &Step) -> bool {
        match step {
            Step::Try(who, fate, _) => match fate {
                Fate::Answered(_) => false,
                Fate::Overdue => !world.workers[*who].is_overdue,
                _ => true,
            },
            Step::Ask(who, reply) | Step::Close(who, reply) => {
                *reply != Reply::Given && !world.workers[*who].is_overdue
            }
            Step::RecordUnheard(_) | Step::PaidLate(_) | Step::WebhookTwice(_) => true,
            Step::Send(_)
            | Step::Record(_)
            | Step::Crash(_)
            | Step::TakeOver
            | Step::LeaseEnds
            | Step::Tick
            | Step::StrayArrives(_)
            | Step::Settle(..)
            | Step::Webhook(_) => false,
        }
    }

    fn action(&self) -> Action {
        match self.ledger.kind {
            OperationKind::Authorize => Action::Authorize,
            OperationKind::Capture => Action::Capture,
            OperationKind::Void => Action::Cancel,
            OperationKind::Refund => Action::Refund,
            OperationKind::Payout => Action::Payout,
        }
    }

    fn send(&self, world: &mut World, who: usize) {
        let worker = &mut world.workers[who];
        if let Stage::Ready(doubt) = &worker.stage {
            worker.stage = Stage::Sent(doubt.clone());
            world.doubtful = (world.doubtful + 1).min(2);
        }
    }

    /// What a worker hears of its request.
    fn answer_to(&self, psp: &mut Psp, fate: Fate) -> (Answer<Judgement>, bool) {
        let answer = match fate {
            Fate::Answered(reaction) | Fate::Doubled(reaction) => {
                return psp.get(&self.ledger, self.idempotency, reaction);
            }
            Fate::AnswerLost(reaction) => {
                let _lost = psp.get(&self.ledger, self.idempotency, reaction);
                Answer::Doubtful(Why::NoAnswer)
            }
            Fate::Lost | Fate::Delayed => Answer::Doubtful(Why::NoAnswer),
            Fate::TurnedAway => Answer::Throttled(String::new()),
            Fate::Refused => Answer::Rejected { decline: declined(), object: None },
            Fate::InFlight => Answer::InFlight,
            Fate::Unreached => Answer::Unreached(String::new()),
            Fate::Overdue => Answer::Overdue,
        };
        (answer, false)
    }

    fn tried(&self, world: &mut World, who: usize, fate: Fate, again: bool) {
        let (answer, replayed) = self.answer_to(&mut world.psp, fate);
        world.strays += u8::from(matches!(fate, Fate::Delayed | Fate::Doubled(_)));
        world.doubtful -= u8::from(matches!(fate, Fate::TurnedAway | Fate::Refused));
        let worker = &mut world.workers[who];
        let (Stage::Ready(doubt) | Stage::Sent(doubt)) = worker.stage.clone() else { return };
        if again {
            // which doubt it was is told apart by nothing
            worker.stage = Stage::Ready(answer.doubt().map(|_| Why::NoAnswer).or(doubt));
            return;
        }
        let asked = Asked { answer, doubt, replayed };
        let is_resent = worker.taken.is_some();
        self.go_on(worker, after_sending(asked, is_resent, &self.ledger.expected.aim));
    }

    fn go_on(&self, worker: &mut Worker, next: Next) {
        match next {
            Next::End(outcome) => self.know(worker, outcome),
            Next::Close(reference, decline) => worker.stage = Stage::Closing(reference, decline),
            Next::LookUp(why) => worker.stage = Stage::Asking(Some(why)),
        }
    }

    /// A worker knows what came of it. What it took over and its deadline matter no longer.
    fn know(&self, worker: &mut Worker, outcome: Outcome) {
        let finding = match worker.taken.take() {
            None => Finding::Answer(outcome),
            Some(glance) => finding_of(outcome, &self.ledger.taken(worker.fence, &glance), &self.settings),
        };
        worker.is_overdue = false;
        worker.stage = Stage::Answered(in_short(finding));
    }

    fn ask(&self, world: &mut World, who: usize, reply: Reply) {
        let worker = &mut world.workers[who];
        let Stage::Asking(why) = worker.stage.clone() else { return };
        // a look-up after an answer that told nothing does not know the object's name
        let known = match why {
            None => worker.taken.as_ref().and_then(|taken| taken.reference.clone()),
            Some(_) => None,
        };
        let found = self.find(&world.psp, known.as_ref(), reply);
        let next = match why {
            None => after_inquiry(found),
            Some(why) => after_look_up(found, why),
        };
        self.go_on(worker, next);
    }

    /// What the PSP shows of the operation.
    fn find(&self, psp: &Psp, known: Option<&PspReference>, reply: Reply) -> Result<Judgement, Outcome> {
        let of_the_payment = super::books::reference(self.ledger.kind, 0);
        let known = if self.ledger.kind == OperationKind::Capture { Some(&of_the_payment) } else { known };
        let unknown = |why| Outcome::Unknown { reference: known.cloned(), why };
        let is_found = known.is_some() || self.idempotency != Idempotency::None;
        match (reply, known) {
            (Reply::Lost | Reply::AnswerLost, _) => Err(unknown(Why::NoAnswer)),
            (_, Some(known)) => psp.shown(&self.ledger, known).ok_or_else(|| unknown(Why::Absent)),
            (Reply::Given, None) if is_found => match psp.found(&self.ledger).as_slice() {
                [] => Err(unknown(Why::Absent)),
                [(_, judgement)] => Ok(judgement.clone()),
                several => Err(unknown(Why::Mismatch(format!("{} objects", several.len())))),
            },
            (Reply::Given | Reply::Lagging, None) => Err(unknown(Why::Absent)),
        }
    }

    fn close(&self, world: &mut World, who: usize, reply: Reply) {
        let worker = &mut world.workers[who];
        let Stage::Closing(reference, decline) = worker.stage.clone() else { return };
        let answer = match (reply, worker.is_overdue) {
            (_, true) => Answer::Overdue,
            (Reply::Given, false) => world.psp.cancel(&self.ledger, &reference),
            (Reply::AnswerLost, false) => {
                let _lost = world.psp.cancel(&self.ledger, &reference);
                Answer::Doubtful(Why::NoAnswer)
            }
            (Reply::Lost | Reply::Lagging, false) => Answer::Doubtful(Why::NoAnswer),
        };
        let shown = match after_cancelling(answer) {
            Closing::Shown(judgement) => Some(judgement),
            Closing::Retrieve => world.psp.shown(&self.ledger, &reference),
            Closing::Doubtful => None,
        };
        self.know(worker, closed(reference, shown, decline));
    }

    fn record(&self, world: &mut World, who: usize) {
        let worker = &world.workers[who];
        let Stage::Answered(finding) = worker.stage.clone() else { return };
        let fence = worker.fence;
        self.write(world, By::Owner { fence }, finding);
    }

    fn write(&self, world: &mut World, by: By, finding: Finding) {
        let done = self.ledger.record(&world.books, by, finding);
        let is_superseded = matches!(by, By::Owner { fence } if fence != world.books.fence);
        let mut untouched = done.books.clone();
        untouched.has_break = world.books.has_break;
        if is_superseded && untouched != world.books {
            world.broken = Some(Broken::SupersededChanged);
        }
        if done.contradicts_answer {
            world.broken = Some(Broken::AnswerChanged);
        }
        world.books = done.books;
    }

    fn hear(&self, world: &mut World, sight: super::psp::Sight) {
        // what acts on the payment's object is only looked for while it is under way
        let is_over = !world.books.status.is_open() && self.ledger.kind == OperationKind::Capture;
        if let Word::Ends(outcome) = word_of(world.psp.judge(&self.ledger, sight))
            && !is_over
        {
            self.write(world, By::Evidence, Finding::Answer(outcome));
        }
    }

    fn take_over(&self, world: &mut World) {
        let books = &mut world.books;
        books.fence += 1;
        // they are counted for objects that contradict their operations, of which there are none here
        books.takeovers = 1;
        books.is_leased = true;
        world.left.takeovers -= 1;
        let glance = Glance {
            status: books.status,
            payment: books.payment,
            takeovers: books.takeovers,
            reference: books.reference.clone(),
            clock: world.clock,
        };
        let taken = self.ledger.taken(books.fence, &glance);
        let (fence, is_overdue) = (books.fence, false);
        let mut worker = Worker { fence, taken: Some(glance), is_overdue, stage: Stage::Ready(None) };
        match next_step(&taken, self.idempotency, Connector::Stripe.key_window(), &self.settings) {
            resolve::Step::Resend => {}
            resolve::Step::Inquire => worker.stage = Stage::Asking(None),
            resolve::Step::Wait => {
                self.know(&mut worker, Outcome::Unknown { reference: None, why: Why::NoAnswer });
            }
            // no buyer has to act, and nothing is held
            other @ (resolve::Step::Cancel | resolve::Step::LookAgain | resolve::Step::Forget) => {
                unreachable!("{other:?}")
            }
        }
        world.workers.push(worker);
    }
}

/// The finding without what no decision of the model's tells apart: why nothing was sent, and which of the reasons for doubt it was.
/// Two reasons are told apart by the product alone, and only to do less: what conflicts is not sent again, and what is with a bank
/// is given up later.
fn in_short(finding: Finding) -> Finding {
    Finding::Answer(match finding {
        Finding::Answer(Outcome::NotSent { .. }) => {
            Outcome::NotSent { code: NotSentCode::Unreachable, message: String::new() }
        }
        Finding::Answer(Outcome::Unknown { reference, .. }) => {
            Outcome::Unknown { reference, why: Why::NoAnswer }
        }
        other => return other,
    })
}

/// Whether the owner may let its lease go by; at last one that is alive does not for ever.
fn may_stand_still(world: &World) -> bool {
    let has_owner = world.workers.iter().any(|worker| worker.fence == world.books.fence);
    let needed = GIVING_UP + world.left.crashes;
    !has_owner || world.clock < Clock::Old || world.left.takeovers >= needed
}

/// Whoever still has it has stood still: by any clock its deadline has passed, too.
fn lease_ends(world: &mut World) {
    world.books.is_leased = false;
    for worker in &mut world.workers {
        worker.is_overdue = !matches!(worker.stage, Stage::Answered(_));
    }
}

fn tick(world: &mut World) {
    (world.clock, world.left.takeovers) = match world.clock {
        Clock::Young => (Clock::Late, TAKEOVERS),
        Clock::Late | Clock::Old => (Clock::Old, LAST_TAKEOVERS),
    };
    world.strays = 0;
    world.psp.forget();
    for worker in &mut world.workers {
        worker.is_overdue = !matches!(worker.stage, Stage::Answered(_));
    }
}
