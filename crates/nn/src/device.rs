//! Devices by name, opened without a panic, and what they tell about themselves.

use candle_core::Device;

/// Why a device can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Not a device's name.
    #[error("{0:?} is none of auto, cpu, cuda:N, metal")]
    Unknown(String),
    /// The program was built without support for it.
    #[error("this build has no support for {name}: build with the feature `{feature}`")]
    NotBuilt {
        /// The device's name.
        name: String,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// A library of the driver or the toolkit is missing.
    #[error("{name} can't be opened: the library {library} isn't installed or isn't found")]
    NoLibrary {
        /// The device's name.
        name: String,
        /// What is missing.
        library: &'static str,
    },
    /// The driver said no.
    #[error("{name} can't be opened: {source}")]
    Failed {
        /// The device's name.
        name: String,
        /// The driver's word.
        source: candle_core::Error,
    },
}

/// Opens `cpu`, `cuda` (the first card), `cuda:N`, `metal`, or with `auto` the first of CUDA and Metal that there is,
/// else the CPU.
///
/// # Errors
/// One variant a cause; a missing driver is [`DeviceError::NoLibrary`].
pub fn open_device(name: &str) -> Result<Device, DeviceError> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(open_cuda(name, 0).or_else(|_| open_metal(name)).unwrap_or(Device::Cpu)),
        "metal" => open_metal(name),
        _ => {
            let index = match name.strip_prefix("cuda") {
                Some("") => Some(0),
                Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse().ok()),
                None => None,
            };
            open_cuda(name, index.ok_or_else(|| DeviceError::Unknown(name.to_owned()))?)
        }
    }
}

fn open_cuda(name: &str, index: usize) -> Result<Device, DeviceError> {
    if !candle_core::utils::cuda_is_available() {
        return Err(DeviceError::NotBuilt { name: name.to_owned(), feature: "cuda" });
    }
    // The bindings panic where a library is missing.
    #[cfg(feature = "cuda")]
    if let Some(library) = crate::cuda::missing_library() {
        return Err(DeviceError::NoLibrary { name: name.to_owned(), library });
    }
    let open = || {
        let device = Device::new_cuda(index)?;
        #[cfg(feature = "cuda")]
        if let Device::Cuda(cuda) = &device {
            crate::cuda::keep_freed_memory(cuda)?;
        }
        Ok(device)
    };
    open().map_err(|source| DeviceError::Failed { name: name.to_owned(), source })
}

fn open_metal(name: &str) -> Result<Device, DeviceError> {
    if !candle_core::utils::metal_is_available() {
        return Err(DeviceError::NotBuilt { name: name.to_owned(), feature: "metal" });
    }
    Device::new_metal(0).map_err(|source| DeviceError::Failed { name: name.to_owned(), source })
}

/// Bytes of device memory in tensors at the most since the last call, and starts counting anew; `None` where the
/// device doesn't say (all but CUDA).
///
/// # Errors
/// When the driver fails.
pub fn peak_device_memory(device: &Device) -> candle_core::Result<Option<u64>> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(cuda) = device {
        return crate::cuda::take_peak(cuda).map(Some);
    }
    let _ = device;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_errors_typed() {
        assert!(matches!(open_device("cpu"), Ok(Device::Cpu)));
        assert!(open_device("auto").is_ok());
        for name in ["gpu", "cuda:x", "", "cuda9", "cuda:"] {
            assert!(matches!(open_device(name), Err(DeviceError::Unknown(n)) if n == name));
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        // Whatever the machine and the build: card 9999 isn't there, and nothing panics.
        let error = open_device("cuda:9999").unwrap_err();
        assert!(!matches!(error, DeviceError::Unknown(_)), "{error}");
        assert!(error.to_string().contains("cuda:9999"), "{error}");
    }

    #[test]
    fn the_cpu_keeps_no_count() {
        assert!(peak_device_memory(&Device::Cpu).unwrap().is_none());
    }
}
