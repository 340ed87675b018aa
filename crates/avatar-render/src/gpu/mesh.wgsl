// Triangles that the CPU has brought to fixed-point image positions: nearest depth of each sample, then the first
// triangle that has it, then shading. The semantics are those of mesh/band.rs.

struct Params {
    color: vec3<f32>,
    ambient: f32,
    // Unit length.
    light: vec3<f32>,
    diffuse: f32,
    // Pixels.
    size: vec2<u32>,
    // Samples along one side of a pixel.
    samples: u32,
    pieces: u32,
}

struct Triangle {
    a: vec2<i32>,
    b: vec2<i32>,
    c: vec2<i32>,
    pad: vec2<i32>,
    normal_a: vec3<f32>,
    inverse_z_a: f32,
    normal_b: vec3<f32>,
    inverse_z_b: f32,
    normal_c: vec3<f32>,
    inverse_z_c: f32,
}

// A rectangle of samples that a triangle reaches, small enough for one thread.
struct Piece {
    triangle: u32,
    pad: u32,
    low: vec2<u32>,
    // One past the last.
    high: vec2<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> triangles: array<Triangle>;
@group(0) @binding(6) var<storage, read> pieces: array<Piece>;
// Bits of the largest 1/z.
@group(0) @binding(2) var<storage, read_write> nearest: array<atomic<u32>>;
// u32::MAX minus the index of the first triangle that has it; 0 for none.
@group(0) @binding(3) var<storage, read_write> winner: array<atomic<u32>>;
// Red, green, blue in the low bytes.
@group(0) @binding(4) var<storage, read_write> colors: array<u32>;
// Normal and depth.
@group(0) @binding(5) var<storage, read_write> surfaces: array<vec4<f32>>;

fn multiply(a: i32, b: i32) -> vec2<u32> {
    let x = u32(abs(a));
    let y = u32(abs(b));
    let low = (x & 0xffffu) * (y & 0xffffu);
    let mid_a = (x >> 16u) * (y & 0xffffu);
    let mid_b = (x & 0xffffu) * (y >> 16u);
    let carry = (low >> 16u) + (mid_a & 0xffffu) + (mid_b & 0xffffu);
    var product = vec2(
        (low & 0xffffu) | (carry << 16u),
        (x >> 16u) * (y >> 16u) + (mid_a >> 16u) + (mid_b >> 16u) + (carry >> 16u),
    );
    if ((a < 0) != (b < 0)) {
        product = vec2(~product.x + 1u, ~product.y + select(0u, 1u, product.x == 0u));
    }
    return product;
}

// Twice the signed area of two points and a third; the sign is exact.
fn edge(a: vec2<i32>, b: vec2<i32>, p: vec2<i32>) -> f32 {
    let u = b - a;
    let v = p - a;
    let reach = max(max(abs(u.x), abs(u.y)), max(abs(v.x), abs(v.y)));
    if (reach <= 0x7fff) {
        return f32(u.x * v.y - u.y * v.x);
    }
    let x = multiply(u.x, v.y);
    let y = multiply(u.y, v.x);
    let low = x.x - y.x;
    let high = x.y - y.y - select(0u, 1u, x.x < y.x);
    if (high >= 0x80000000u) {
        let back = vec2(~low + 1u, ~high + select(0u, 1u, low == 0u));
        return -(f32(back.y) * 4294967296.0 + f32(back.x));
    }
    return f32(high) * 4294967296.0 + f32(low);
}

// The corners' shares of a sample, each positive inside.
fn shares(t: Triangle, area: f32, sample: vec2<i32>) -> vec3<f32> {
    let p = sample * SUBPIXEL;
    return vec3(edge(t.b, t.c, p), edge(t.c, t.a, p), edge(t.a, t.b, p)) / area;
}

fn visit(index: u32, find_winner: bool) {
    let piece = pieces[index];
    let t = triangles[piece.triangle];
    let area = edge(t.a, t.b, t.c);
    if (area == 0.0) {
        return;
    }
    let width = params.size.x * params.samples;
    for (var y = piece.low.y; y < piece.high.y; y++) {
        for (var x = piece.low.x; x < piece.high.x; x++) {
            let share = shares(t, area, vec2<i32>(vec2(x, y)));
            if (share.x < 0.0 || share.y < 0.0 || share.z < 0.0) {
                continue;
            }
            let inverse_z = dot(share, vec3(t.inverse_z_a, t.inverse_z_b, t.inverse_z_c));
            if (inverse_z <= 0.0) {
                continue;
            }
            let bits = bitcast<u32>(inverse_z);
            let at = y * width + x;
            if (!find_winner) {
                atomicMax(&nearest[at], bits);
            } else if (bits + DEPTH_TIES >= atomicLoad(&nearest[at])) {
                atomicMax(&winner[at], 0xffffffffu - piece.triangle);
            }
        }
    }
}

@compute @workgroup_size(64)
fn find_depth(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.pieces) {
        visit(id.x, false);
    }
}

@compute @workgroup_size(64)
fn find_winner(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.pieces) {
        visit(id.x, true);
    }
}

fn unit(v: vec3<f32>) -> vec3<f32> {
    let norm = length(v);
    if (norm > 0.0) {
        return v / norm;
    }
    return vec3(0.0, 0.0, -1.0);
}

@compute @workgroup_size(8, 8)
fn shade(@builtin(global_invocation_id) pixel: vec3<u32>) {
    if (pixel.x >= params.size.x || pixel.y >= params.size.y) {
        return;
    }
    let s = params.samples;
    var color = vec3(0.0);
    var normals = vec3(0.0);
    var inverse_z = 0.0;
    for (var i = 0u; i < s * s; i++) {
        let sample = pixel.xy * s + vec2(i % s, i / s);
        let at = sample.y * params.size.x * s + sample.x;
        let won = atomicLoad(&winner[at]);
        if (won == 0u) {
            continue;
        }
        let t = triangles[0xffffffffu - won];
        let area = edge(t.a, t.b, t.c);
        let share = shares(t, area, vec2<i32>(sample));
        var normal = unit(share.x * t.inverse_z_a * t.normal_a + share.y * t.inverse_z_b * t.normal_b
            + share.z * t.inverse_z_c * t.normal_c);
        if (normal.z > 0.0 && area > 0.0) {
            normal = -normal;
        }
        let facing = max(dot(normal, params.light), 0.0);
        let light = params.ambient + params.diffuse * facing;
        color += clamp(params.color * light * 255.0, vec3(MIN_LEVEL), vec3(255.0));
        normals += normal;
        inverse_z = max(inverse_z, bitcast<f32>(atomicLoad(&nearest[at])));
    }
    let out = pixel.y * params.size.x + pixel.x;
    if (inverse_z == 0.0) {
        colors[out] = 0u;
        surfaces[out] = vec4(0.0);
        return;
    }
    let level = vec3<u32>(floor(color / f32(s * s) + 0.5));
    colors[out] = level.x | (level.y << 8u) | (level.z << 16u);
    surfaces[out] = vec4(unit(normals), 1.0 / inverse_z);
}
