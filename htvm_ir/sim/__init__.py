"""The virtual SoC: an RV32IMC core, memory-mapped device models, virtual time, a trace and faults.

It is a model: times come from the published pipeline of the core and from the devices' own cost functions.
"""
