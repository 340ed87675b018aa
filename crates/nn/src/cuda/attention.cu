// Fused attention without a bias for heads of 64 or 128 elements, bf16 factors, f32 sums: softmax(scale * q kT) v.
//
// The online softmax of FlashAttention-2 (Dao, arXiv 2307.08691) on the m16n8k16 matrix instruction. A block of eight
// warps takes 128 queries of one head, 16 a warp, and walks over the keys 64 at a time; the next tile of keys and
// values is copied to shared memory while the present one is multiplied. Rows of a tile are 128 or 256 bytes; their 16-byte
// chunks are permuted by the row, so that the eight rows that a load instruction reads lie in different banks.
//
// q [B, Lq, N, HEAD], k and v [B, Lk, N, HEAD] in bf16, out [B, Lq, N, HEAD] in f32, all contiguous.

#include <cuda_bf16.h>
#include <stdint.h>

#define TILE_KEYS 64
#define WARPS 8
#define TILE_QUERIES (16 * WARPS)
#define THREADS (32 * WARPS)

template <int HEAD> __device__ __forceinline__ uint32_t address(uint32_t tile, int row, int chunk) {
    return tile + row * (HEAD * 2) + ((chunk ^ (row & 7)) << 4);
}

// 16 bytes from global to shared memory, or zeros.
__device__ __forceinline__ void copy16(uint32_t to, const void *from, bool real) {
    int bytes = real ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes));
}

__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;\n" ::); }

__device__ __forceinline__ void load4(uint32_t (&r)[4], uint32_t at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}

__device__ __forceinline__ void load4_transposed(uint32_t (&r)[4], uint32_t at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}

__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ uint32_t pack(float low, float high) {
    __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&two);
}

// A tile's keys or values from key `first` on; rows past the last key become zeros.
template <int HEAD>
__device__ __forceinline__ void fetch(uint32_t tile, const __nv_bfloat16 *from, int first, int lk, size_t stride) {
    constexpr int CHUNKS = HEAD / 8; // 16-byte chunks of a row
#pragma unroll
    for (int i = 0; i < TILE_KEYS * CHUNKS / THREADS; i++) {
        int n = i * THREADS + threadIdx.x;
        int row = n / CHUNKS, chunk = n % CHUNKS;
        bool real = first + row < lk;
        const __nv_bfloat16 *source = from + (size_t)(real ? first + row : 0) * stride + chunk * 8;
        copy16(address<HEAD>(tile, row, chunk), source, real);
    }
}

// scale: of the scores, times log2(e).
template <int HEAD>
__device__ __forceinline__ void attend(const __nv_bfloat16 *q, const __nv_bfloat16 *k, const __nv_bfloat16 *v, float *out,
                                       int lq, int lk, int heads, float scale) {
    constexpr int TILE_BYTES = TILE_KEYS * HEAD * 2;
    extern __shared__ __align__(128) unsigned char shared[];
    const uint32_t base = (uint32_t)__cvta_generic_to_shared(shared);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const size_t stride = (size_t)heads * HEAD;
    const size_t head = (size_t)blockIdx.y * HEAD;
    q += (size_t)blockIdx.z * lq * stride + head;
    k += (size_t)blockIdx.z * lk * stride + head;
    v += (size_t)blockIdx.z * lk * stride + head;
    out += (size_t)blockIdx.z * lq * stride + head;

    const int tiles = (lk + TILE_KEYS - 1) / TILE_KEYS;
    fetch<HEAD>(base, k, 0, lk, stride);
    fetch<HEAD>(base + TILE_BYTES, v, 0, lk, stride);
    commit();

    // This thread's two rows of queries, and its elements of them as the matrix instruction wants them.
    const int row = blockIdx.x * TILE_QUERIES + warp * 16 + lane / 4;
    const __nv_bfloat16 *q0 = q + (size_t)min(row, lq - 1) * stride + (lane % 4) * 2;
    const __nv_bfloat16 *q1 = q + (size_t)min(row + 8, lq - 1) * stride + (lane % 4) * 2;
    uint32_t queries[HEAD / 16][4];
#pragma unroll
    for (int i = 0; i < HEAD / 16; i++) {
        queries[i][0] = *reinterpret_cast<const uint32_t *>(q0 + i * 16);
        queries[i][1] = *reinterpret_cast<const uint32_t *>(q1 + i * 16);
        queries[i][2] = *reinterpret_cast<const uint32_t *>(q0 + i * 16 + 8);
        queries[i][3] = *reinterpret_cast<const uint32_t *>(q1 + i * 16 + 8);
    }

    float sum[HEAD / 8][4];
#pragma unroll
    for (int i = 0; i < HEAD / 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] = 0.0f;
    }
    float largest[2] = {-INFINITY, -INFINITY}, weight[2] = {0.0f, 0.0f};

    // Which of the four 8x8 matrices of a load this lane points to, and the row in it.
    const int matrix = lane / 8, in_matrix = lane % 8;

    for (int tile = 0; tile < tiles; tile++) {
        const uint32_t keys = base + (tile & 1) * 2 * TILE_BYTES, values = keys + TILE_BYTES;
        if (tile + 1 < tiles) {
            const uint32_t next = base + ((tile + 1) & 1) * 2 * TILE_BYTES;
            fetch<HEAD>(next, k, (tile + 1) * TILE_KEYS, lk, stride);
            fetch<HEAD>(next + TILE_BYTES, v, (tile + 1) * TILE_KEYS, lk, stride);
            commit();
            asm volatile("cp.async.wait_group 1;\n" ::);
        } else {
            asm volatile("cp.async.wait_group 0;\n" ::);
        }
        __syncthreads();

        float scores[TILE_KEYS / 8][4];
#pragma unroll
        for (int i = 0; i < TILE_KEYS / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) scores[i][j] = 0.0f;
        }
#pragma unroll
        for (int i = 0; i < HEAD / 16; i++) {
#pragma unroll
            for (int n = 0; n < TILE_KEYS / 16; n++) {
                uint32_t b[4];
                load4(b, address<HEAD>(keys, n * 16 + (matrix >> 1) * 8 + in_matrix, i * 2 + (matrix & 1)));
                multiply(scores[2 * n], queries[i], b[0], b[1]);
                multiply(scores[2 * n + 1], queries[i], b[2], b[3]);
            }
        }
        if ((tile + 1) * TILE_KEYS > lk) {
#pragma unroll
            for (int i = 0; i < TILE_KEYS / 8; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    int key = tile * TILE_KEYS + i * 8 + (lane % 4) * 2 + (j & 1);
                    if (key >= lk) scores[i][j] = -INFINITY;
                }
            }
        }

        // A tile has at least one real key, so the maximum is finite.
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float top = largest[r];
#pragma unroll
            for (int i = 0; i < TILE_KEYS / 8; i++) top = fmaxf(top, fmaxf(scores[i][2 * r], scores[i][2 * r + 1]));
            top = fmaxf(top, __shfl_xor_sync(0xffffffff, top, 1));
            top = fmaxf(top, __shfl_xor_sync(0xffffffff, top, 2));
            const float shrink = power_of_2((largest[r] - top) * scale);
            largest[r] = top;
            const float offset = top * scale;
            float part = 0.0f;
#pragma unroll
            for (int i = 0; i < TILE_KEYS / 8; i++) {
#pragma unroll
                for (int j = 2 * r; j < 2 * r + 2; j++) {
                    scores[i][j] = power_of_2(fmaf(scores[i][j], scale, -offset));
                    part += scores[i][j];
                }
            }
            weight[r] = weight[r] * shrink + part; // of this thread's columns; added up at the end
#pragma unroll
            for (int i = 0; i < HEAD / 8; i++) {
                sum[i][2 * r] *= shrink;
                sum[i][2 * r + 1] *= shrink;
            }
        }

#pragma unroll
        for (int n = 0; n < TILE_KEYS / 16; n++) {
            uint32_t a[4];
            a[0] = pack(scores[2 * n][0], scores[2 * n][1]);
            a[1] = pack(scores[2 * n][2], scores[2 * n][3]);
            a[2] = pack(scores[2 * n + 1][0], scores[2 * n + 1][1]);
            a[3] = pack(scores[2 * n + 1][2], scores[2 * n + 1][3]);
#pragma unroll
            for (int i = 0; i < HEAD / 16; i++) {
                uint32_t b[4];
                load4_transposed(b, address<HEAD>(values, n * 16 + (matrix & 1) * 8 + in_matrix, i * 2 + (matrix >> 1)));
                multiply(sum[2 * i], a, b[0], b[1]);
                multiply(sum[2 * i + 1], a, b[2], b[3]);
            }
        }
        __syncthreads();
    }

#pragma unroll
    for (int r = 0; r < 2; r++) {
        float total = weight[r];
        total += __shfl_xor_sync(0xffffffff, total, 1);
        total += __shfl_xor_sync(0xffffffff, total, 2);
        const float inverse = 1.0f / total;
        const int at = row + 8 * r;
        if (at < lq) {
            float *to = out + (size_t)at * stride + (lane % 4) * 2;
#pragma unroll
            for (int i = 0; i < HEAD / 8; i++) {
                *reinterpret_cast<float2 *>(to + i * 8) =
                    make_float2(sum[i][2 * r] * inverse, sum[i][2 * r + 1] * inverse);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    attention_head128(const __nv_bfloat16 *q, const __nv_bfloat16 *k, const __nv_bfloat16 *v, float *out, int lq,
                      int lk, int heads, float scale) {
    attend<128>(q, k, v, out, lq, lk, heads, scale);
}

// Half the registers and shared memory of the other: two blocks share a processor.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_head64(const __nv_bfloat16 *q, const __nv_bfloat16 *k, const __nv_bfloat16 *v, float *out, int lq,
                     int lk, int heads, float scale) {
    attend<64>(q, k, v, out, lq, lk, heads, scale);
}
