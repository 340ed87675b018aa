//! Exact nearest neighbours among many points.

/// A k-d tree over points that stay where they are.
#[derive(Clone, Debug)]
pub struct KdTree {
    points: Vec<[f32; 3]>,
    /// The points' numbers, ordered so that each node is a range.
    order: Vec<u32>,
    /// For the middle of each node the axis along which it is split.
    axes: Vec<u8>,
}

/// Ranges no longer than this are searched through.
const LEAF: usize = 8;

impl KdTree {
    /// A tree over `points`.
    #[must_use]
    pub fn new(points: &[[f32; 3]]) -> Self {
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        let mut axes = vec![0; points.len()];
        split(points, &mut order, &mut axes);
        Self { points: order.iter().map(|i| points[*i as usize]).collect(), order, axes }
    }

    /// The nearest point's number and squared distance; the lowest number of equally near ones. `None` for a tree
    /// without points.
    #[must_use]
    pub fn nearest(&self, to: [f32; 3]) -> Option<(u32, f32)> {
        let mut best = None;
        self.search(0..self.order.len(), to, &mut best);
        best
    }

    fn search(&self, range: std::ops::Range<usize>, to: [f32; 3], best: &mut Option<(u32, f32)>) {
        let mut consider = |at: usize| {
            let d = distance2(self.points[at], to);
            let number = self.order[at];
            if best.is_none_or(|(n, b)| d < b || (d == b && number < n)) {
                *best = Some((number, d));
            }
        };
        if range.len() <= LEAF {
            range.for_each(consider);
            return;
        }
        let axis = usize::from(self.axes[range.start + range.len() / 2]);
        let middle = range.start + range.len() / 2;
        consider(middle);
        let beyond = to[axis] - self.points[middle][axis];
        let (low, high) = (range.start..middle, middle + 1..range.end);
        let (near, far) = if beyond < 0.0 { (low, high) } else { (high, low) };
        self.search(near, to, best);
        if best.is_none_or(|(_, b)| beyond * beyond <= b) {
            self.search(far, to, best);
        }
    }
}

/// Orders a range so that its middle splits it along its widest axis, and both halves likewise.
fn split(points: &[[f32; 3]], order: &mut [u32], axes: &mut [u8]) {
    if order.len() <= LEAF {
        return;
    }
    let here: Vec<[f32; 3]> = order.iter().map(|i| points[*i as usize]).collect();
    let axis = widest_axis(&here);
    let middle = order.len() / 2;
    let at = |i: &u32| points[*i as usize][axis];
    order.select_nth_unstable_by(middle, |a, b| at(a).total_cmp(&at(b)));
    axes[middle] = axis as u8;
    let (low, high) = order.split_at_mut(middle);
    let (low_axes, high_axes) = axes.split_at_mut(middle);
    split(points, low, low_axes);
    split(points, &mut high[1..], &mut high_axes[1..]);
}

fn widest_axis(points: &[[f32; 3]]) -> usize {
    let mut low = [f32::INFINITY; 3];
    let mut high = [f32::NEG_INFINITY; 3];
    for p in points {
        for i in 0..3 {
            low[i] = low[i].min(p[i]);
            high[i] = high[i].max(p[i]);
        }
    }
    let width = |i: usize| high[i] - low[i];
    (0..3).max_by(|a, b| width(*a).total_cmp(&width(*b))).unwrap_or(0)
}

pub(super) fn distance2(a: [f32; 3], b: [f32; 3]) -> f32 {
    let d: [f32; 3] = std::array::from_fn(|i| a[i] - b[i]);
    d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::numbers;

    #[test]
    fn equals_the_search_through_all() {
        for n in [1, 2, 9, 64, 700] {
            let points = numbers(n * 3, 1.0, n as u64).as_chunks::<3>().0.to_vec();
            let tree = KdTree::new(&points);
            for to in numbers(300, 1.3, 5).as_chunks::<3>().0 {
                let best = (0..n)
                    .map(|i| (i as u32, distance2(points[i], *to)))
                    .min_by(|a, b| a.1.total_cmp(&b.1))
                    .unwrap();
                assert_eq!(tree.nearest(*to), Some(best));
            }
        }
        assert_eq!(KdTree::new(&[]).nearest([0.0; 3]), None);
        let same = KdTree::new(&[[1.0, 2.0, 3.0]; 40]);
        assert_eq!(same.nearest([0.0; 3]), Some((0, 14.0)));
    }
}
