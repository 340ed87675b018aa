// Gaussian splatting: project, count, scan, scatter, sort each tile, composite. The constants in capitals come from
// constants.rs, the semantics from splat/reference.rs.

struct Params {
    view: mat4x4<f32>,
    clip: mat4x4<f32>,
    focal: vec2<f32>,
    tan_half_fov: vec2<f32>,
    size: vec2<u32>,
    tiles: vec2<u32>,
    background: vec3<f32>,
    scale_modifier: f32,
    count: u32,
    capacity: u32,
    pad_a: u32,
    pad_b: u32,
}

struct Gaussian {
    mean: vec3<f32>,
    opacity: f32,
    scale: vec3<f32>,
    red: f32,
    rotation: vec4<f32>,
    green: f32,
    blue: f32,
    pad_a: f32,
    pad_b: f32,
}

struct Splat {
    mean: vec2<f32>,
    depth: f32,
    opacity: f32,
    conic: vec3<f32>,
    red: f32,
    green: f32,
    blue: f32,
    // Tiles low..high, x in the low half of each word.
    low: u32,
    high: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gaussians: array<Gaussian>;
@group(0) @binding(2) var<storage, read_write> splats: array<Splat>;
@group(0) @binding(3) var<storage, read_write> cursors: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> pairs: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> colors: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> depths: array<vec2<f32>>;

fn finite(x: f32) -> bool {
    // By bits: comparisons with NaN may be optimised away.
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

fn covariance(g: Gaussian) -> mat3x3<f32> {
    let w = g.rotation.x;
    let x = g.rotation.y;
    let y = g.rotation.z;
    let z = g.rotation.w;
    // Columns of R, each times its axis.
    let s = g.scale * params.scale_modifier;
    let m = mat3x3<f32>(
        s.x * vec3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y)),
        s.y * vec3(2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x)),
        s.z * vec3(2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)),
    );
    return m * transpose(m);
}

fn tile_span(p: f32, radius: f32, tiles: u32) -> vec2<u32> {
    let side = f32(TILE);
    let limit = f32(tiles);
    let low = clamp(trunc((p - radius) / side), 0.0, limit);
    let high = clamp(trunc((p + radius + side - 1.0) / side), 0.0, limit);
    return vec2(u32(low), u32(high));
}

// The Gaussian on the image; an empty span of tiles where it isn't visible.
fn project_one(index: u32) -> Splat {
    var splat: Splat;
    let g = gaussians[index];
    let t = (params.view * vec4(g.mean, 1.0)).xyz;
    if (!(t.z > NEAR_CULL && finite(t.x) && finite(t.y) && finite(t.z))) {
        return splat;
    }
    let limit = FOV_CLAMP * params.tan_half_fov;
    let c = clamp(t.xy / t.z, -limit, limit) * t.z;
    let v = transpose(mat3x3<f32>(params.view[0].xyz, params.view[1].xyz, params.view[2].xyz));
    let a = params.focal.x * (v[0] / t.z - v[2] * (c.x / (t.z * t.z)));
    let b = params.focal.y * (v[1] / t.z - v[2] * (c.y / (t.z * t.z)));
    let sigma = covariance(g);
    let sa = sigma * a;
    let xx = dot(a, sa) + LOW_PASS;
    let xy = dot(b, sa);
    let yy = dot(b, sigma * b) + LOW_PASS;
    let det = xx * yy - xy * xy;
    if (det == 0.0 || !finite(det)) {
        return splat;
    }
    let mid = 0.5 * (xx + yy);
    let spread = sqrt(max(EIGEN_FLOOR, mid * mid - det));
    let radius = ceil(RADIUS_SIGMAS * sqrt(mid + spread));
    let hom = params.clip * vec4(g.mean, 1.0);
    let ndc = hom.xy / (hom.w + W_EPSILON);
    let mean = ((ndc + 1.0) * vec2<f32>(params.size) - 1.0) * 0.5;
    let conic = vec3(yy, -xy, xx) / det;
    if (!(finite(radius) && finite(mean.x) && finite(mean.y) && finite(conic.x) && finite(conic.y)
        && finite(conic.z) && finite(g.opacity) && finite(g.red) && finite(g.green) && finite(g.blue))) {
        return splat;
    }
    let x = tile_span(mean.x, radius, params.tiles.x);
    let y = tile_span(mean.y, radius, params.tiles.y);
    splat.mean = mean;
    splat.depth = t.z;
    splat.opacity = g.opacity;
    splat.conic = conic;
    splat.red = g.red;
    splat.green = g.green;
    splat.blue = g.blue;
    splat.low = x.x | (y.x << 16u);
    splat.high = x.y | (y.y << 16u);
    return splat;
}

@compute @workgroup_size(256)
fn project(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.count) {
        return;
    }
    let splat = project_one(id.x);
    splats[id.x] = splat;
    for (var y = splat.low >> 16u; y < (splat.high >> 16u); y++) {
        for (var x = splat.low & 0xffffu; x < (splat.high & 0xffffu); x++) {
            atomicAdd(&cursors[y * params.tiles.x + x], 1u);
        }
    }
}

var<workgroup> sums: array<u32, 256>;

// Exclusive prefix sums of the tiles' counts, by one workgroup.
@compute @workgroup_size(256)
fn scan(@builtin(local_invocation_id) id: vec3<u32>) {
    let tiles = params.tiles.x * params.tiles.y;
    var base = 0u;
    for (var first = 0u; first < tiles; first += 256u) {
        let tile = first + id.x;
        var own = 0u;
        if (tile < tiles) {
            own = atomicLoad(&cursors[tile]);
        }
        sums[id.x] = own;
        workgroupBarrier();
        for (var step = 1u; step < 256u; step *= 2u) {
            var before = 0u;
            if (id.x >= step) {
                before = sums[id.x - step];
            }
            workgroupBarrier();
            sums[id.x] += before;
            workgroupBarrier();
        }
        if (tile < tiles) {
            let start = base + sums[id.x] - own;
            starts[tile] = start;
            atomicStore(&cursors[tile], start);
        }
        base += sums[255];
        workgroupBarrier();
    }
    if (id.x == 0u) {
        starts[tiles] = base;
    }
}

@compute @workgroup_size(256)
fn scatter(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.count) {
        return;
    }
    let low = splats[id.x].low;
    let high = splats[id.x].high;
    let key = bitcast<u32>(splats[id.x].depth);
    for (var y = low >> 16u; y < (high >> 16u); y++) {
        for (var x = low & 0xffffu; x < (high & 0xffffu); x++) {
            let slot = atomicAdd(&cursors[y * params.tiles.x + x], 1u);
            if (slot < params.capacity) {
                pairs[slot] = vec2(key, id.x);
            }
        }
    }
}

var<workgroup> span: vec2<u32>;

fn order(i: u32, j: u32, end: u32) {
    if (j < end) {
        let a = pairs[i];
        let b = pairs[j];
        if (a.x > b.x || (a.x == b.x && a.y > b.y)) {
            pairs[i] = b;
            pairs[j] = a;
        }
    }
}

// Sorts a tile's pairs by depth, then index: a bitonic network whose comparisons all point up, so that what lies
// beyond the end counts as infinitely far and never moves.
@compute @workgroup_size(256)
fn sort_tile(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>) {
    if (id.x == 0u) {
        let at = tile.y * params.tiles.x + tile.x;
        span = vec2(min(starts[at], params.capacity), min(starts[at + 1u], params.capacity));
    }
    let range = workgroupUniformLoad(&span);
    let n = range.y - range.x;
    for (var k = 2u; k < 2u * n; k *= 2u) {
        let half = k / 2u;
        for (var t = id.x; (t / half) * k < n; t += 256u) {
            let block = range.x + (t / half) * k;
            order(block + t % half, block + k - 1u - t % half, range.y);
        }
        storageBarrier();
        for (var s = k / 4u; s > 0u; s /= 2u) {
            for (var t = id.x; (t / s) * 2u * s < n; t += 256u) {
                let i = range.x + (t / s) * 2u * s + t % s;
                order(i, i + s, range.y);
            }
            storageBarrier();
        }
    }
}

@compute @workgroup_size(TILE, TILE)
fn composite(@builtin(workgroup_id) tile: vec3<u32>, @builtin(global_invocation_id) pixel: vec3<u32>) {
    if (pixel.x >= params.size.x || pixel.y >= params.size.y) {
        return;
    }
    let at = tile.y * params.tiles.x + tile.x;
    let end = min(starts[at + 1u], params.capacity);
    var color = vec3(0.0);
    var alpha_sum = 0.0;
    var depth = 0.0;
    var contributors = 0u;
    var transmittance = 1.0;
    for (var i = starts[at]; i < end; i++) {
        let s = splats[pairs[i].y];
        let d = s.mean - vec2<f32>(pixel.xy);
        let power = -0.5 * (s.conic.x * d.x * d.x + s.conic.z * d.y * d.y) - s.conic.y * d.x * d.y;
        if (power > 0.0) {
            continue;
        }
        let alpha = min(MAX_ALPHA, s.opacity * exp(power));
        if (alpha < MIN_ALPHA) {
            continue;
        }
        let after = transmittance * (1.0 - alpha);
        if (after < MIN_TRANSMITTANCE) {
            break;
        }
        let weight = alpha * transmittance;
        color += vec3(s.red, s.green, s.blue) * weight;
        depth += s.depth * weight;
        alpha_sum += weight;
        contributors += 1u;
        transmittance = after;
    }
    let out = pixel.y * params.size.x + pixel.x;
    colors[out] = vec4(color + transmittance * params.background, alpha_sum);
    depths[out] = vec2(depth, f32(contributors));
}
