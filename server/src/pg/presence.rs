//! Whether a client comes alone or as one of many, and for how long the next message of one who comes alone is awaited without
//! sleeping.
//!
//! A thread that sleeps until a message comes, and the processor under it, take 10 to 50 µs to wake: on a client that sends one
//! statement after the other that is a good part of each round trip. Whoever is served alone is therefore listened to for
//! a moment after every answer. In a crowd there is always somebody else to serve, and nobody is.

use std::time::Duration;

use super::backoff::Backoff;
use super::crowd::Crowd;

/// A client that answers at once has answered by then.
const MOMENT: Duration = Duration::from_micros(50);
/// So many of its messages in a row must have come with none of others in between.
const ALONE: u32 = 16;
/// After a moment in vain so many messages are awaited asleep.
const PAUSE_MIN: u32 = 1;
/// Between two messages of one of many others send so many for each worker, or more: there is mostly another one to answer.
const OTHERS_PER_WORKER: u32 = 2;
/// An average of others' messages goes over about so many of one's own,
const OTHERS_OVER: u32 = 8;
/// of which each counts for so many others at most: after a long rest they are very many.
const OTHERS_MAX: u32 = 1 << 10;

/// One connection in the crowd.
pub struct Presence {
    /// What the crowd's count was when this connection's last message came.
    last: u64,
    /// Messages of this connection with none in between.
    in_a_row: u32,
    /// Others' messages between two of this connection on average, `OTHERS_OVER` times.
    others: u32,
    /// Moments in vain: a client that thinks is awaited asleep.
    moments: Backoff,
}

impl Default for Presence {
    fn default() -> Presence {
        Presence { last: 0, in_a_row: 0, others: 0, moments: Backoff::starting_with(PAUSE_MIN) }
    }
}

impl Presence {
    /// A message of this connection has come.
    pub fn arrived(&mut self, crowd: &Crowd) {
        let before = crowd.message();
        let others = u32::try_from(before.saturating_sub(self.last)).unwrap_or(u32::MAX);
        self.in_a_row = if others == 0 { self.in_a_row.saturating_add(1) } else { 0 };
        self.others = self.others - self.others / OTHERS_OVER + others.min(OTHERS_MAX);
        self.last = before + 1;
    }

    /// Whether many others come as well.
    pub fn is_one_of_many(&self, crowd: &Crowd) -> bool {
        self.others / OTHERS_OVER >= crowd.workers().saturating_mul(OTHERS_PER_WORKER)
    }

    /// Whether nobody else has come for some time.
    pub fn is_alone(&self) -> bool {
        self.in_a_row >= ALONE
    }

    /// For how long the next message is awaited without sleeping. Needs a second processor, for the client.
    pub fn moment(&mut self, crowd: &Crowd) -> Option<Duration> {
        if !self.is_alone() || crowd.messages() != self.last {
            return None;
        }
        self.moments.is_due().then_some(MOMENT)
    }

    /// Whether the message came within the moment.
    pub fn awaited(&mut self, came: bool) {
        if came {
            self.moments.forget();
        } else {
            self.moments.was_in_vain();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::backoff::PAUSE_MAX;
    use super::*;

    fn alone(crowd: &Crowd) -> Presence {
        let mut presence = Presence::default();
        presence.arrived(crowd);
        while presence.moment(crowd).is_none() {
            presence.arrived(crowd);
        }
        presence
    }

    #[test]
    fn who_comes_alone_is_listened_to_until_somebody_else_comes() {
        let crowd = Crowd::on_workers(2);
        let mut one = alone(&crowd);
        let mut other = Presence::default();
        other.arrived(&crowd);
        assert_eq!(one.moment(&crowd), None);
        for _ in 0..10 * ALONE {
            one.arrived(&crowd);
            other.arrived(&crowd);
            assert_eq!((one.moment(&crowd), other.moment(&crowd)), (None, None));
        }
        for _ in 0..=ALONE {
            one.arrived(&crowd);
        }
        assert_eq!(one.moment(&crowd), Some(MOMENT));
    }

    #[test]
    fn one_of_many_is_who_sees_many_messages_of_others_between_its_own() {
        let crowd = Crowd::on_workers(2);
        let mut clients: Vec<Presence> = (0..8).map(|_| Presence::default()).collect();
        let rounds = |clients: &mut [Presence], rounds: u32| {
            for _ in 0..rounds {
                clients.iter_mut().for_each(|client| client.arrived(&crowd));
            }
            clients.iter().filter(|client| client.is_one_of_many(&crowd)).count()
        };
        assert_eq!(rounds(&mut clients, 100), 8);
        // Who is connected and says nothing does not make many.
        assert_eq!(rounds(&mut clients[..4], 100), 0);
        // A rest tells nothing of the crowd for long.
        assert_eq!(rounds(&mut clients[4..], 100), 0);
        assert_eq!(rounds(&mut clients, 100), 8);
    }

    #[test]
    fn a_client_that_thinks_is_soon_awaited_asleep() {
        let crowd = Crowd::on_workers(2);
        let mut one = alone(&crowd);
        let mut moments = |came: bool, messages: u32| {
            let mut moments = 0;
            for _ in 0..messages {
                if one.moment(&crowd).is_some() {
                    moments += 1;
                    one.awaited(came);
                }
                one.arrived(&crowd);
            }
            moments
        };
        assert!(moments(false, 100 * PAUSE_MAX) <= 112);
        // It has become quick: after at most one more pause it is listened to every time.
        moments(true, PAUSE_MAX + 1);
        assert_eq!(moments(true, 100), 100);
    }
}
