//! The nearest point of a triangle mesh.

use crate::rotation::dot;

/// Where a point meets the surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceHit {
    /// The triangle.
    pub face: u32,
    /// Weights of its corners; they sum to one and none is negative.
    pub barycentric: [f32; 3],
    /// Distance from the point, squared.
    pub distance2: f32,
}

/// A hierarchy of boxes over the triangles of a mesh.
#[derive(Clone, Debug)]
pub struct SurfaceTree {
    corners: Vec<[[f32; 3]; 3]>,
    order: Vec<u32>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    low: [f32; 3],
    high: [f32; 3],
    range: std::ops::Range<u32>,
    /// Second child; the first follows its parent. 0 for leaves.
    second: u32,
}

/// Triangles in a leaf.
const LEAF: usize = 4;

impl SurfaceTree {
    /// A tree over the triangles; those with an index out of range are left out.
    #[must_use]
    pub fn new(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Self {
        let inside = |f: &[u32; 3]| f.iter().all(|v| (*v as usize) < vertices.len());
        let mut order: Vec<u32> = (0..faces.len() as u32).filter(|i| inside(&faces[*i as usize])).collect();
        let corner = |f: &[u32; 3]| f.map(|v| vertices.get(v as usize).copied().unwrap_or_default());
        let all: Vec<[[f32; 3]; 3]> = faces.iter().map(corner).collect();
        let mut nodes = Vec::new();
        if !order.is_empty() {
            build(&all, &mut order, 0, &mut nodes);
        }
        Self { corners: order.iter().map(|i| all[*i as usize]).collect(), order, nodes }
    }

    /// The nearest point of the surface; `None` for a mesh without triangles.
    #[must_use]
    pub fn nearest(&self, to: [f32; 3]) -> Option<SurfaceHit> {
        let mut best: Option<SurfaceHit> = None;
        let mut stack = Vec::with_capacity(64);
        if !self.nodes.is_empty() {
            stack.push((0_u32, self.nodes[0].distance2(to)));
        }
        while let Some((at, d)) = stack.pop() {
            if best.is_some_and(|b| d >= b.distance2) {
                continue;
            }
            let node = &self.nodes[at as usize];
            if node.second == 0 {
                for i in node.range.clone() {
                    let [a, b, c] = self.corners[i as usize];
                    let barycentric = nearest_on_triangle(to, a, b, c);
                    let p: [f32; 3] = std::array::from_fn(|k| {
                        a[k] * barycentric[0] + b[k] * barycentric[1] + c[k] * barycentric[2]
                    });
                    let distance2 = super::kd_tree::distance2(p, to);
                    let face = self.order[i as usize];
                    if best.is_none_or(|b| distance2 < b.distance2) {
                        best = Some(SurfaceHit { face, barycentric, distance2 });
                    }
                }
            } else {
                let children = [at + 1, node.second];
                let mut children = children.map(|c| (c, self.nodes[c as usize].distance2(to)));
                if children[0].1 < children[1].1 {
                    children.swap(0, 1);
                }
                stack.extend(children);
            }
        }
        best
    }
}

impl Node {
    fn distance2(&self, p: [f32; 3]) -> f32 {
        (0..3).map(|i| (self.low[i] - p[i]).max(p[i] - self.high[i]).max(0.0).powi(2)).sum()
    }
}

fn build(all: &[[[f32; 3]; 3]], order: &mut [u32], start: u32, nodes: &mut Vec<Node>) -> u32 {
    let mut low = [f32::INFINITY; 3];
    let mut high = [f32::NEG_INFINITY; 3];
    for corner in order.iter().flat_map(|i| all[*i as usize]) {
        for k in 0..3 {
            low[k] = low[k].min(corner[k]);
            high[k] = high[k].max(corner[k]);
        }
    }
    let at = nodes.len() as u32;
    nodes.push(Node { low, high, range: start..start + order.len() as u32, second: 0 });
    if order.len() > LEAF {
        let width = |k: usize| high[k] - low[k];
        let axis = (0..3).max_by(|a, b| width(*a).total_cmp(&width(*b))).unwrap_or(0);
        let centre = |i: &u32| all[*i as usize].iter().map(|c| c[axis]).sum::<f32>();
        let middle = order.len() / 2;
        order.select_nth_unstable_by(middle, |a, b| centre(a).total_cmp(&centre(b)));
        let (first, second) = order.split_at_mut(middle);
        build(all, first, start, nodes);
        let second = build(all, second, start + middle as u32, nodes);
        nodes[at as usize].second = second;
    }
    at
}

/// Barycentric coordinates of the point of a triangle that is nearest to `p`.
///
/// The plane is divided into the regions that are nearest to each corner, each edge and the inside; the signs of the
/// projections say in which `p` lies.
fn nearest_on_triangle(p: [f32; 3], a: [f32; 3], b: [f32; 3], c: [f32; 3]) -> [f32; 3] {
    let sub = |x: [f32; 3], y: [f32; 3]| -> [f32; 3] { std::array::from_fn(|i| x[i] - y[i]) };
    let (ab, ac) = (sub(b, a), sub(c, a));
    let (ap, bp, cp) = (sub(p, a), sub(p, b), sub(p, c));
    let (a1, a2) = (dot(ab, ap), dot(ac, ap));
    if a1 <= 0.0 && a2 <= 0.0 {
        return [1.0, 0.0, 0.0];
    }
    let (b1, b2) = (dot(ab, bp), dot(ac, bp));
    if b1 >= 0.0 && b2 <= b1 {
        return [0.0, 1.0, 0.0];
    }
    let (c1, c2) = (dot(ab, cp), dot(ac, cp));
    if c2 >= 0.0 && c1 <= c2 {
        return [0.0, 0.0, 1.0];
    }
    let along = |from: f32, to: f32| if from == to { 0.0 } else { (from / (from - to)).clamp(0.0, 1.0) };
    let area_c = a1 * b2 - b1 * a2;
    if area_c <= 0.0 && a1 >= 0.0 && b1 <= 0.0 {
        let t = along(a1, b1);
        return [1.0 - t, t, 0.0];
    }
    let area_b = c1 * a2 - a1 * c2;
    if area_b <= 0.0 && a2 >= 0.0 && c2 <= 0.0 {
        let t = along(a2, c2);
        return [1.0 - t, 0.0, t];
    }
    let area_a = b1 * c2 - c1 * b2;
    if area_a <= 0.0 && b2 - b1 >= 0.0 && c1 - c2 >= 0.0 {
        let t = along(b2 - b1, c2 - c1);
        return [0.0, 1.0 - t, t];
    }
    let sum = area_a + area_b + area_c;
    if sum <= 0.0 {
        return [1.0, 0.0, 0.0];
    }
    let (v, w) = (area_b / sum, area_c / sum);
    [1.0 - v - w, v, w].map(|x| x.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Random, numbers};

    #[test]
    fn regions_of_a_right_triangle() {
        let (a, b, c) = ([0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        let at = |p| nearest_on_triangle(p, a, b, c);
        assert_eq!(at([-1.0, -1.0, 2.0]), [1.0, 0.0, 0.0]);
        assert_eq!(at([3.0, 0.5, 0.0]), [0.0, 1.0, 0.0]);
        assert_eq!(at([0.25, -2.0, 1.0]), [0.75, 0.25, 0.0]);
        assert_eq!(at([0.25, 0.5, 1.0]), [0.25, 0.25, 0.5]);
        assert_eq!(at([1.0, 1.0, 0.0]), [0.0, 0.5, 0.5]);
    }

    #[test]
    fn equals_the_search_through_all() {
        let vertices = numbers(300, 1.0, 3).as_chunks::<3>().0.to_vec();
        let mut random = Random::new(4);
        let faces: Vec<[u32; 3]> =
            (0..150).map(|_| std::array::from_fn(|_| random.below(100) as u32)).collect();
        let tree = SurfaceTree::new(&vertices, &faces);
        for to in numbers(300, 1.5, 5).as_chunks::<3>().0 {
            let all = faces.iter().map(|f| {
                let [a, b, c] = f.map(|v| vertices[v as usize]);
                let w = nearest_on_triangle(*to, a, b, c);
                let p = std::array::from_fn(|k| a[k] * w[0] + b[k] * w[1] + c[k] * w[2]);
                super::super::kd_tree::distance2(p, *to)
            });
            let best = all.fold(f32::INFINITY, f32::min);
            let hit = tree.nearest(*to).unwrap();
            assert_eq!(hit.distance2, best);
            assert!((hit.barycentric.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert!(SurfaceTree::new(&vertices, &[]).nearest([0.0; 3]).is_none());
        assert!(SurfaceTree::new(&vertices, &[[0, 1, 100]]).nearest([0.0; 3]).is_none());
    }
}
