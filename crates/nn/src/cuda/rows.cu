// What happens to rows of f32 between the matrix products: norms, RoPE, bias and activation, gated sums.
// One block of threads a row.

#include <cuda_bf16.h>
#include <stdint.h>

#define THREADS 256

// The sum over the block, in every thread.
__device__ __forceinline__ float block_sum(float x) {
    __shared__ float parts[THREADS / 32];
#pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) x += __shfl_xor_sync(0xffffffff, x, mask);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0.0f;
#pragma unroll
    for (int i = 0; i < THREADS / 32; i++) x += parts[i];
    __syncthreads();
    return x;
}

// x / sqrt(mean(x^2) + eps) * weight, then, where cos isn't null, the rotation of adjacent pairs: `half` pairs a head,
// tables [tokens, half], row r of x standing at token r % tokens.
extern "C" __global__ void rms_norm_rope(const float *x, const float *weight, const float *cos, const float *sin,
                                         float *out, int d, int half, int tokens, float eps) {
    const size_t row = blockIdx.x;
    x += row * d;
    out += row * d;
    float square = 0.0f;
    for (int i = threadIdx.x; i < d; i += THREADS) square = fmaf(x[i], x[i], square);
    const float scale = 1.0f / sqrtf(block_sum(square) / d + eps);
    if (cos == nullptr) {
        for (int i = threadIdx.x; i < d; i += THREADS) out[i] = x[i] * scale * weight[i];
        return;
    }
    cos += (row % tokens) * half;
    sin += (row % tokens) * half;
    for (int i = threadIdx.x; i < d / 2; i += THREADS) {
        const float2 pair = reinterpret_cast<const float2 *>(x)[i];
        const float2 w = reinterpret_cast<const float2 *>(weight)[i];
        const float re = pair.x * scale * w.x, im = pair.y * scale * w.y;
        const float c = cos[i % half], s = sin[i % half];
        reinterpret_cast<float2 *>(out)[i] = make_float2(re * c - im * s, re * s + im * c);
    }
}

// (x - mean) / sqrt(variance + eps), then, where scale isn't null, * (scale + more) + shift.
extern "C" __global__ void layer_norm(const float *x, const float *scale, const float *shift, float *out, int d,
                                      float more, float eps) {
    const size_t row = blockIdx.x;
    x += row * d;
    out += row * d;
    float total = 0.0f;
    for (int i = threadIdx.x; i < d; i += THREADS) total += x[i];
    const float mean = block_sum(total) / d;
    float square = 0.0f;
    for (int i = threadIdx.x; i < d; i += THREADS) square = fmaf(x[i] - mean, x[i] - mean, square);
    const float inverse = 1.0f / sqrtf(block_sum(square) / d + eps);
    for (int i = threadIdx.x; i < d; i += THREADS) {
        const float normal = (x[i] - mean) * inverse;
        out[i] = scale == nullptr ? normal : fmaf(normal, scale[i] + more, shift[i]);
    }
}

__device__ __forceinline__ float activate(float x, int kind) {
    switch (kind) {
    case 1: // GELU, tanh form
        return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * fmaf(0.044715f * x * x, x, x)));
    case 2: // GELU, exact
        return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case 3: // SiLU
        return x / (1.0f + expf(-x));
    default:
        return x;
    }
}

// The end of a linear layer whose product came out in bf16: out = activation(product + bias).
extern "C" __global__ void finish_product(const __nv_bfloat16 *product, const float *bias, float *out, int d,
                                          int activation) {
    const size_t row = blockIdx.x;
    for (int i = threadIdx.x; i < d; i += THREADS) {
        float value = __bfloat162float(product[row * d + i]);
        if (bias != nullptr) value += bias[i];
        out[row * d + i] = activate(value, activation);
    }
}

// x += gate * y.
extern "C" __global__ void gate_add(float *x, const float *y, const float *gate, int d) {
    const size_t row = blockIdx.x;
    for (int i = threadIdx.x; i < d; i += THREADS) {
        const float g = gate == nullptr ? 1.0f : gate[i];
        x[row * d + i] = fmaf(g, y[row * d + i], x[row * d + i]);
    }
}
