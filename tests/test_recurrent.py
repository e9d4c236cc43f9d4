import pytest
import torch

from companion.ops.recurrent import Repeated


def chain(product, x, steps=4):
    """A recurrence, of which only the last step is looked at."""
    h = x
    for _ in range(steps):
        h = product(h).tanh() + x
    return h


@pytest.mark.parametrize("shape", [(), (3,)])
def test_gradients_are_those_of_plain_products(shape):
    torch.manual_seed(0)
    matrix, x = (torch.randn(*shape, n, 5, dtype=torch.float64, requires_grad=True) for n in (5, 2))
    ours = torch.autograd.grad(chain(Repeated(matrix), x).square().sum(), (matrix, x))
    plain = torch.autograd.grad(chain(lambda h: h @ matrix, x).square().sum(), (matrix, x))
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_finite_differences():
    def twice(matrix, x):
        return chain(Repeated(matrix), x, 2)

    matrix, x = (torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (4, 3))
    assert torch.autograd.gradcheck(twice, (matrix, x))


def test_a_step_that_leads_nowhere_adds_nothing():
    matrix, x = torch.randn(4, 4, requires_grad=True), torch.randn(2, 4)
    product = Repeated(matrix)
    product(x + 1)
    (one,) = torch.autograd.grad(product(x).sum(), matrix)
    (other,) = torch.autograd.grad((x @ matrix).sum(), matrix)
    torch.testing.assert_close(one, other)


def test_in_bf16_the_gradient_is_f32_and_near():
    torch.manual_seed(0)
    matrix, x = torch.randn(8, 8, requires_grad=True), torch.randn(3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        read = chain(Repeated(matrix), x)
    (found,) = torch.autograd.grad(read.float().sum(), matrix)
    (exact,) = torch.autograd.grad(chain(lambda h: h @ matrix, x).sum(), matrix)
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found.flatten(), exact.flatten(), 0) > 0.95


def test_without_gradients_it_is_a_product():
    matrix, x = torch.randn(4, 4, requires_grad=True), torch.randn(2, 4)
    with torch.no_grad():
        assert torch.equal(Repeated(matrix)(x), x @ matrix)
