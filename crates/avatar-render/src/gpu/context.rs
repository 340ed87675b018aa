//! The device, and what both renderers do with it: buffers that grow, pipelines, reading back.

use crate::{Error, Result};
use std::sync::Arc;
use wgpu::util::DeviceExt;

/// Which adapters may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapters {
    /// Real GPUs only.
    Hardware,
    /// Software adapters too, where there is no GPU: slower than the CPU renderer, for tests.
    AlsoSoftware,
}

/// An opened GPU. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GpuContext {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: Arc<wgpu::AdapterInfo>,
}

impl GpuContext {
    /// Opens the strongest adapter of Vulkan, Metal or DirectX 12. OpenGL is never taken.
    ///
    /// # Errors
    /// [`Error::NoRenderer`] when there is none, or it can't be opened.
    pub fn open(adapters: Adapters) -> Result<Self> {
        pollster::block_on(Self::open_async(adapters))
    }

    async fn open_async(adapters: Adapters) -> Result<Self> {
        let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        let instance = wgpu::Instance::new(descriptor);
        let mut found = instance.enumerate_adapters(backends).await;
        let rank = |a: &wgpu::Adapter| match a.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        found.retain(|a| adapters == Adapters::AlsoSoftware || rank(a) < 4);
        found.sort_by_key(rank);
        let none = |why: String| Error::NoRenderer { wanted: "gpu", why };
        let adapter = found.first().ok_or_else(|| none("no Vulkan, Metal or DirectX 12 adapter".into()))?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("avatar-render"),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| none(e.to_string()))?;
        Ok(Self { device, queue, info: Arc::new(adapter.get_info()) })
    }

    /// The adapter's name and API.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} ({:?})", self.info.name, self.info.backend)
    }

    /// Is it a software adapter?
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Runs `work` and turns what the device reports about it into an error.
    pub(super) fn checked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let done = work();
        for scope in [validation, memory] {
            if let Some(error) = pollster::block_on(scope.pop()) {
                return Err(Error::Gpu { what: error.to_string() });
            }
        }
        done
    }

    /// Makes sure that a storage buffer has room for `bytes`; what was in it may be lost.
    pub(super) fn reserve(&self, buffer: &mut Option<wgpu::Buffer>, bytes: u64) -> Result<wgpu::Buffer> {
        let limits = self.device.limits();
        let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if bytes > most {
            return Err(Error::Gpu {
                what: format!("{bytes} bytes in one buffer, the device allows {most}"),
            });
        }
        match buffer {
            Some(b) if b.size() >= bytes => Ok(b.clone()),
            _ => {
                let usage =
                    wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
                let size = (bytes + bytes / 4).clamp(256, most.max(256)).next_multiple_of(16);
                let new = self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size,
                    usage,
                    mapped_at_creation: false,
                });
                *buffer = Some(new.clone());
                Ok(new)
            }
        }
    }

    pub(super) fn uniform(&self, bytes: &[u8]) -> wgpu::Buffer {
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytes,
            usage: wgpu::BufferUsages::UNIFORM,
        })
    }

    /// Copies the beginnings of buffers back: `(buffer, bytes)` each, in one go.
    pub(super) fn read(
        &self,
        mut encoder: wgpu::CommandEncoder,
        parts: &[(&wgpu::Buffer, u64)],
        staging: &mut Option<wgpu::Buffer>,
    ) -> Result<Vec<Vec<u8>>> {
        let total: u64 = parts.iter().map(|p| p.1.next_multiple_of(16)).sum();
        let staging = match staging {
            Some(b) if b.size() >= total => b.clone(),
            _ => {
                let new = self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: total,
                    usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                *staging = Some(new.clone());
                new
            }
        };
        let mut at = 0;
        for (buffer, bytes) in parts {
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, at, *bytes);
            at += bytes.next_multiple_of(16);
        }
        self.queue.submit([encoder.finish()]);
        let (send, receive) = std::sync::mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody listens any more only if polling failed, which is reported.
            let _ = send.send(result);
        });
        let gpu = |what: String| Error::Gpu { what };
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| gpu(e.to_string()))?;
        let mapped = receive.try_recv().map_err(|e| gpu(format!("the read-back never came: {e}")))?;
        mapped.map_err(|e| gpu(e.to_string()))?;
        let mut out = Vec::with_capacity(parts.len());
        {
            let view = staging.get_mapped_range(..).map_err(|e| gpu(e.to_string()))?;
            let mut at = 0;
            for (_, bytes) in parts {
                out.push(view[at as usize..(at + bytes) as usize].to_vec());
                at += bytes.next_multiple_of(16);
            }
        }
        staging.unmap();
        Ok(out)
    }
}

/// Compute pipelines over one group of bindings: a uniform, then storage buffers.
#[derive(Debug)]
pub(super) struct Stages {
    layout: wgpu::BindGroupLayout,
    pipelines: Vec<wgpu::ComputePipeline>,
}

impl Stages {
    /// `read_only` says which of the storage buffers (from binding 1 on) are only read.
    pub(super) fn new(gpu: &GpuContext, source: String, entries: &[&str], read_only: &[bool]) -> Self {
        let device = &gpu.device;
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let binding = |binding: usize, ty| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut bindings = vec![binding(0, wgpu::BufferBindingType::Uniform)];
        for (i, &read_only) in read_only.iter().enumerate() {
            bindings.push(binding(i + 1, wgpu::BufferBindingType::Storage { read_only }));
        }
        let layout = device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &bindings });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipelines = entries.iter().map(|entry| {
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        });
        let pipelines = pipelines.collect();
        Self { layout, pipelines }
    }

    /// Records stage after stage with its number of workgroups.
    pub(super) fn record(
        &self,
        gpu: &GpuContext,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &[&wgpu::Buffer],
        groups: &[[u32; 2]],
    ) {
        let entries: Vec<_> = buffers
            .iter()
            .enumerate()
            .map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: b.as_entire_binding() })
            .collect();
        let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_bind_group(0, &bind_group, &[]);
        for (pipeline, &[x, y]) in self.pipelines.iter().zip(groups) {
            pass.set_pipeline(pipeline);
            pass.dispatch_workgroups(x, y, 1);
        }
    }
}
