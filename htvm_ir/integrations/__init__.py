"""htvm_ir inside other compilers: their networks in, kernels for our targets out.

``kernels`` reads an operator with its requantisation from any graph of calls, ``contracts`` asks the engines of a
target whether they take it, ``forms`` says which calls to look for, ``network`` makes a ``graph`` module of it,
``host`` C for this machine.
``tvm`` is the bridge to TVM's Relax, ``uma`` the one to the UMA interface of older versions.
"""
