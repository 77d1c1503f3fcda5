"""How a call is made, from a method of a resource down to a transport.

client.gateways.get(id)
    operation.py    the declaration in resources/gateways.py has become a method of this client
    rpc.py          it makes an `Rpc`: the request, what is wanted of the response, and how it may be sent
    drivers.py      the driver, sync or async, tries the short way: one attempt
    attempts.py     if that fails, or a token is needed: retries under one deadline, as a flow
    session.py      the client's connections choose a transport, which sends the attempt

flow.py             the steps of flows, and `Call`, what drivers and retries need to know of an RPC or a completion
deadline.py         how much time is left
transient.py        which failures of a poll pass by themselves
clock.py            time and randomness, replaceable by tests
signatures.py       what help() shows of a method, and the errors of misspelled keywords
closing.py          what is closed at the end of a `with` block
"""
