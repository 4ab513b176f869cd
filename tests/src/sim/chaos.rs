//! What strikes agents and the store as a whole: crashes, stops, replacements, restarts, clocks that jump, outages.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    cluster::{Cluster, Running},
    faults::Fault,
    plan::{millis, pick},
    wire::{Doom, OUTAGE_MAX},
};
use ebb_protocol::random::Random;

/// Strikes until `until`.
pub(super) async fn strike(cluster: Arc<Cluster>, random: Random, until: Instant) {
    let world = cluster.world.clone();
    let rates = world.plan.rates.clone();
    tokio::spawn(supervise(cluster.clone(), random.fork(), until));
    if rates.restarts {
        tokio::spawn(roll(cluster.clone(), random.fork(), until));
    }
    while Instant::now() < until {
        sleep(millis(&random, 200, 4_000)).await;
        let slot = usize::try_from(random.below(world.plan.agents as u64)).unwrap_or(0);
        match random.below(7) {
            0 if rates.crashes && cluster.kill(slot) => {
                world.fault(Fault::Crash);
                world.note(format_args!("slot {slot} crashes"));
            }
            1 | 2 if rates.crashes => {
                let count = u32::try_from(1 + random.below(6)).unwrap_or(1);
                if let Some(running) = cluster.at(slot) {
                    running.doom(Some(pick(&random, &[Doom::AtRequest(count), Doom::AtAnswer(count)])));
                }
            }
            3 if rates.pauses => {
                if let Some(running) = cluster.at(slot) {
                    tokio::spawn(pause(cluster.clone(), running, slot, random.fork()));
                }
            }
            4 if rates.jumps => {
                if let Some(running) = cluster.at(slot) {
                    world.fault(Fault::ClockJump);
                    let error = random.below(world.plan.clock_error_ms + 1);
                    running.set_clock(i64::try_from(error).unwrap_or(0));
                }
            }
            5 if rates.outages => {
                world.fault(Fault::Outage);
                let before = rates.before;
                cluster.weather.change(|rates| rates.before = 1.0);
                sleep(millis(&random, 100, OUTAGE_MAX.as_millis() as u64)).await;
                cluster.weather.change(|rates| rates.before = before);
            }
            6 if rates.crashes => {
                if let Some(running) = cluster.at(slot) {
                    world.fault(Fault::Restart);
                    tokio::spawn(async move { running.shut_down().await });
                }
            }
            _ => {}
        }
    }
}

/// Lets agents leave in order, one after the other; those that follow them join. Groups move with each.
async fn roll(cluster: Arc<Cluster>, random: Random, until: Instant) {
    loop {
        sleep(millis(&random, 500, 4_000)).await;
        if Instant::now() >= until {
            return;
        }
        let slot = usize::try_from(random.below(cluster.world.plan.agents as u64)).unwrap_or(0);
        if let Some(running) = cluster.at(slot).filter(|running| !running.is_leaving()) {
            cluster.world.fault(Fault::Restart);
            tokio::spawn(async move { running.shut_down().await });
        }
    }
}

/// Starts agents that are not there, as a supervisor of processes does.
async fn supervise(cluster: Arc<Cluster>, random: Random, until: Instant) {
    while Instant::now() < until {
        sleep(millis(&random, 50, 1_500)).await;
        cluster.bury();
        for slot in 0..cluster.world.plan.agents {
            if cluster.at(slot).is_none() {
                let doomed = cluster.world.plan.rates.crashes && random.chance(0.1);
                let count = u32::try_from(1 + random.below(5)).unwrap_or(1);
                let doom = doomed.then(|| pick(&random, &[Doom::AtRequest(count), Doom::AtAnswer(count)]));
                tokio::spawn(cluster.clone().start(slot, doom));
            }
        }
    }
}

/// Stops an agent, perhaps replaces it meanwhile, and lets it go on.
async fn pause(cluster: Arc<Cluster>, running: Arc<Running>, slot: usize, random: Random) {
    let world = cluster.world.clone();
    world.fault(Fault::Pause);
    world.note(format_args!("{} is stopped", running.name));
    running.gate.stop();
    let longest = world.plan.pause_max.as_millis() as u64;
    let length = millis(&random, if random.chance(0.5) { longest / 2 } else { 100 }, longest);
    if random.chance(0.4) {
        sleep(length / 2).await;
        world.fault(Fault::Zombie);
        tokio::spawn(cluster.start(slot, None));
        sleep(length / 2).await;
    } else {
        sleep(length).await;
    }
    world.note(format_args!("{} goes on", running.name));
    running.gate.go_on();
    // It is kept alive no longer than those who know it want.
    sleep(Duration::ZERO).await;
}
