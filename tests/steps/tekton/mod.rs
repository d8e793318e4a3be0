//! The Tasks, StepActions and Pipelines: validated by Tekton's own admission, and run by its controller's code and its
//! entrypoint, without a cluster.

mod credentials;
mod judged;
mod pipelines;
mod tasks;
mod values;
