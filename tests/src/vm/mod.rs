//! The compiled filter in an interpreter, with a host that counts: what each callback costs in hostcalls, bytes and steps.
//!
//! Time on a shared machine is noise; counts are the same everywhere. The host answers as Envoy does where the filter can tell the
//! difference, and knows nothing that the filter does not ask for.

mod exchange;
mod host;
mod imports;
mod profile;
mod scale;
mod steps;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use wasmi::{CompilationMode, Config, Engine, Instance, Linker, Module, Store, TypedFunc, WasmParams, WasmResults};

pub use exchange::Measured;
use host::Host;
pub use profile::{Budget, Calls, Profile};
pub use scale::{Point, scale};

/// More than any callback takes: what loops for ever ends.
const MOST_STEPS: u64 = 1 << 50;
/// The root context's id.
const ROOT: i32 = 1;

/// One VM with the filter in it, configured.
#[derive(Debug)]
pub struct Vm {
    store: Store<Host>,
    instance: Instance,
    next_context: i32,
}

impl Vm {
    /// Loads that module and has it take that configuration.
    ///
    /// # Errors
    /// If the module cannot be loaded or refuses the configuration.
    pub fn start(wasm: &Path, configuration: &serde_json::Value) -> Result<Self> {
        let bytes = fs::read(wasm).with_context(|| format!("{} is missing: run scripts/build", wasm.display()))?;
        let mut config = Config::default();
        // Translated before it runs: translation would be charged to whoever calls a function first.
        config
            .consume_fuel(true)
            .operator_cost(steps::costs())
            .compilation_mode(CompilationMode::Eager)
            .ignore_custom_sections(true);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, &bytes[..])?;
        let mut store = Store::new(&engine, Host::new(configuration.to_string().into_bytes()));
        store.set_fuel(MOST_STEPS)?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker)?;
        let instance = linker.instantiate_and_start(&mut store, &module)?;
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&store, "_initialize") {
            initialize.call(&mut store, ())?;
        }
        let mut vm = Self { store, instance, next_context: ROOT + 1 };
        vm.call::<_, ()>("proxy_on_context_create", (ROOT, 0))?;
        vm.call::<_, i32>("proxy_on_vm_start", (ROOT, 0))?;
        if vm.call::<_, i32>("proxy_on_configure", (ROOT, 0))? != 1 {
            bail!("the configuration is refused: {:?}", vm.host().log);
        }
        Ok(vm)
    }

    fn host(&self) -> &Host {
        self.store.data()
    }

    fn host_mut(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    /// Calls back, and charges what it costs to that callback.
    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &'static str, parameters: P) -> Result<R> {
        let function: TypedFunc<P, R> = self.instance.get_typed_func(&self.store, name)?;
        self.store.set_fuel(MOST_STEPS)?;
        self.host_mut().callback = name;
        let result =
            function.call(&mut self.store, parameters).with_context(|| format!("{name}: {:?}", self.host().log))?;
        let used = MOST_STEPS - self.store.get_fuel()?;
        self.host_mut().profile.entered(name, used);
        Ok(result)
    }

    /// Bytes of the VM's memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.instance.get_memory(&self.store, "memory").map_or(0, |memory| memory.data(&self.store).len())
    }

    /// Takes what was counted since the last time.
    fn take_profile(&mut self) -> Profile {
        std::mem::take(&mut self.host_mut().profile)
    }
}
