//! Cells without order, for choosing at random.

use fastrand::Rng;

/// Of a cell that is not in the set.
const OUT: u32 = u32::MAX;

#[derive(Default)]
pub struct Dense {
    members: Vec<u32>,
    /// Where in `members` each cell is.
    places: Vec<u32>,
}

impl Dense {
    pub fn contains(&self, cell: u32) -> bool {
        let place = self.places.get(cell as usize);
        place.is_some_and(|place| *place != OUT)
    }

    pub fn insert(&mut self, cell: u32) {
        let at = cell as usize;
        if at >= self.places.len() {
            self.places.resize(at + 1, OUT);
        }
        self.places[at] = self.members.len() as u32;
        self.members.push(cell);
    }

    /// The last member takes its place.
    pub fn remove(&mut self, cell: u32) {
        let place = std::mem::replace(&mut self.places[cell as usize], OUT);
        self.members.swap_remove(place as usize);
        if let Some(moved) = self.members.get(place as usize) {
            self.places[*moved as usize] = place;
        }
    }

    /// Any member, all with the same probability.
    pub fn any(&self, rng: &mut Rng) -> Option<u32> {
        match &*self.members {
            [] => None,
            members => Some(members[rng.usize(..members.len())]),
        }
    }

    /// Of two different members at random the one with the lower score.
    pub fn better_of_two(&self, rng: &mut Rng, score: impl Fn(u32) -> u64) -> Option<u32> {
        match *self.members {
            [] => None,
            [only] => Some(only),
            ref members => {
                let first = rng.usize(..members.len());
                // Any but the first: the last stands in for it.
                let second = match rng.usize(..members.len() - 1) {
                    place if place == first => members.len() - 1,
                    place => place,
                };
                let (first, second) = (members[first], members[second]);
                Some(if score(second) < score(first) {
                    second
                } else {
                    first
                })
            }
        }
    }

    /// Bytes outside this struct.
    pub fn memory(&self) -> usize {
        (self.members.capacity() + self.places.capacity()) * size_of::<u32>()
    }
}
