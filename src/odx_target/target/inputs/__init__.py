"""The inputs of an array, one at a time: bytes of hosts, the time, and requests of operators. A recorded array and a replay use
the same code.

After each input, the array works until nothing more can happen without a further input. So the answers depend only on the
inputs and on their order, and a replay of the inputs gives the same answers. `input_gate` keeps the order, `edge_socket` stands
for the socket of a host, `input_clock` makes the time an input, and `task_order` makes the order of tasks repeatable. The
`recorder` takes the inputs from hosts and writes them to a file.
"""
