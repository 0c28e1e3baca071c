//! What workers, clients, the collector and the clock do, one act at a time.

use meterr_core::{effect::Verdict, random::Random, service::Service};

use super::{
    collector::Collector,
    reference::EPOCH_SECS,
    stream::Stream,
    traffic::Request,
    world::{UnderWay, Worker, World},
};

/// Most exchanges that are open in one worker.
const MAX_OPEN: usize = 10;
/// Longest time that goes by without a tick of every worker, milliseconds. Leaps of the clock are another matter.
const MAX_SILENCE_MS: u64 = 9_000;
/// Milliseconds between ticks while the run comes to its end.
const TICK_MS: u64 = 100;

impl World {
    /// One act. At a depth above 0 it happens in the middle of another worker's callback.
    pub(super) fn act(&self, depth: usize) {
        if depth == 0 {
            let faults = self.plan.faults;
            if self.happens(faults.crashes) {
                self.crash();
            }
            if self.happens(faults.collector) {
                self.collector_is_well.set(!self.collector_is_well.get());
            }
            if self.happens(faults.back) {
                let most = if self.up_to(9) == 0 { 2_400_000 } else { 90_000 };
                self.now.set(self.now.get() - self.up_to(most));
            }
            if self.happens(faults.leaps) {
                self.set_clock(self.now.get() + 10_000 + self.up_to(60_000));
            }
        }
        let what = self.up_to(99);
        if what >= 92 {
            self.wait(depth);
            return;
        }
        let index = usize::try_from(self.up_to(self.workers.len() as u64 - 1)).unwrap_or(0);
        let Some(Ok(mut worker)) = self.workers.get(index).map(|worker| worker.try_borrow_mut()) else { return };
        let worker = &mut *worker;
        match what {
            0..20 if worker.streams.len() < MAX_OPEN => worker.streams.push(self.open()),
            0..75 => self.advance(index, worker, depth),
            75..83 => self.tick(index, worker, depth),
            _ => self.answer(index, worker, depth),
        }
    }

    fn open(&self) -> Stream {
        let id = self.fresh();
        self.with_random(|random| {
            let request = Request::new(random, self.scene.header_hold);
            Stream::new(id, request, random)
        })
    }

    fn advance(&self, index: usize, worker: &mut Worker, depth: usize) {
        if worker.streams.is_empty() {
            return;
        }
        let at = usize::try_from(self.up_to(worker.streams.len() as u64 - 1)).unwrap_or(0);
        let mut stream = worker.streams.swap_remove(at);
        let Some(step) = stream.steps.pop_front() else { return };
        let (verdict, ran) =
            self.callback(index, worker, depth, |worker, host| stream.run(&step, &mut worker.service, host));
        let refusal = if let Verdict::Reply(reply) = &verdict { Some(reply) } else { None };
        if refusal.is_some() || !ran.decisions.is_empty() {
            self.decided(&mut stream, &step, refusal, &ran);
        }
        if let Some(reply) = refusal {
            self.with_random(|random| stream.is_refused_with(&reply.headers, reply.status, &reply.body, random));
        }
        for event in &ran.events {
            stream.events += 1;
            self.settled(&mut stream, event, &ran, worker);
        }
        if stream.steps.is_empty() {
            self.law(
                "one outcome",
                match (stream.events, stream.exchange.is_open()) {
                    (1, false) => Ok(()),
                    (events, is_open) => Err(format!("{events} events, open: {is_open}, after {:?}", stream.before)),
                },
            );
        } else {
            worker.streams.push(stream);
        }
    }

    pub(super) fn tick(&self, index: usize, worker: &mut Worker, depth: usize) {
        let ran = self.root_callback(index, worker, depth, Service::on_tick);
        self.retried(worker, &ran);
    }

    /// The collector answers a POST of this worker, or nobody does.
    fn answer(&self, index: usize, worker: &mut Worker, depth: usize) {
        let post = {
            let mut all = self.under_way.borrow_mut();
            let Some(at) = all.iter().position(|post| post.worker == index) else { return };
            all.remove(at)
        };
        if post.generation != worker.generation {
            return;
        }
        let token = post.callout.token;
        let is_well = self.collector_is_well.get();
        let (arrives, status) = match self.up_to(99) {
            // It arrived, and the answer got lost.
            0..4 if !self.is_calm.get() => (true, None),
            4..7 if !self.is_calm.get() => {
                self.root_callback(index, worker, depth, |service, host| service.on_callout_refused(token, host));
                return;
            }
            _ if Collector::condemns(&post.callout.body) && is_well => (false, Some(400)),
            _ if is_well => (true, Some(200)),
            chance => {
                (false, [Some(500), Some(503), Some(429), Some(401), None][usize::try_from(chance % 5).unwrap_or(0)])
            }
        };
        if arrives {
            self.arrive(&post);
        }
        let after = (status == Some(429)).then_some("1");
        self.root_callback(index, worker, depth, |service, host| {
            service.on_callout_response(token, status, after, host);
        });
    }

    fn arrive(&self, post: &UnderWay) {
        let taken = self.collector.borrow_mut().take(&post.callout.body);
        self.law("delivery", taken);
    }

    /// A worker's VM traps: its root context and all its streams are gone, and a new one takes over.
    fn crash(&self) {
        let index = usize::try_from(self.up_to(self.workers.len() as u64 - 1)).unwrap_or(0);
        let Ok(mut worker) = self.workers[index].try_borrow_mut() else { return };
        *worker = self.new_worker(self.with_random(Random::next));
        self.tally.borrow_mut().crashes += 1;
        let (gone, kept) = self.under_way.take().into_iter().partition(|post: &UnderWay| post.worker == index);
        self.under_way.replace(kept);
        // What had left the process arrives, whoever is there to hear of it.
        for post in gone.iter().filter(|_| self.up_to(1) == 0) {
            self.arrive(post);
        }
    }

    fn wait(&self, depth: usize) {
        let now = self.now.get();
        let edge = |secs: u64| (now / 1_000 / secs + 1) * secs * 1_000;
        let until = match self.up_to(99) {
            0..70 => now + self.up_to(1_500),
            70..80 => now,
            // A callback does not last so long, unless the whole process stands still.
            _ if depth > 0 => now + self.up_to(100),
            // Just before, at and just after an edge.
            80..97 => edge(60) - 1 + self.up_to(2),
            97 => edge(EPOCH_SECS) - 1 + self.up_to(2),
            _ => edge(3_600) - 1 + self.up_to(2),
        };
        while self.now.get() < until {
            self.set_clock(until.min(self.now.get() + MAX_SILENCE_MS));
            if until - now > MAX_SILENCE_MS {
                self.undisturbed(Self::tick_all);
            }
        }
    }

    /// Every worker ticks and hears from the collector, as it does while time goes by.
    fn tick_all(&self) {
        for (index, worker) in self.workers.iter().enumerate() {
            let worker = &mut *worker.borrow_mut();
            self.tick(index, worker, 0);
            while self.under_way.borrow().iter().any(|post| post.worker == index) {
                self.answer(index, worker, 0);
            }
        }
    }

    /// Nothing goes wrong any more, all exchanges end, and all laws are judged once more.
    pub(super) fn end(&self) {
        self.is_calm.set(true);
        self.collector_is_well.set(true);
        self.set_clock(self.latest.get());
        for (index, worker) in self.workers.iter().enumerate() {
            let worker = &mut *worker.borrow_mut();
            while !worker.streams.is_empty() {
                self.advance(index, worker, 0);
            }
            self.tick(index, worker, 0);
        }
        self.judge_all("conservation");
        // Longer than a lease and any backoff.
        for _ in 0..400 {
            self.set_clock(self.now.get() + TICK_MS);
            self.tick_all();
        }
        let end = self.collector.borrow().check_end();
        self.law("delivery", end);
        // Holds of workers that crashed last for their epoch and the next.
        self.set_clock(self.now.get() + 2 * EPOCH_SECS * 1_000);
        self.judge_all("holds expire");
    }
}
