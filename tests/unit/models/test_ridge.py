"""The closed form against what it stands for: fits with an example left out, least squares by hand, known calibrations."""

import pytest
import torch

from training.models.calibration import HALF, TEMPERATURES, sigmoid_temperature, softmax_temperature, thresholds
from training.models.ridge import BIAS_COLUMN, PENALTY, solve_ridge

SAID = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
SURE = torch.tensor([1.0, 1.0, 0.5, 1.0, 1.0])


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(9, 40, generator=torch.Generator().manual_seed(0)) + 3.0


def test_the_answer_left_out_is_that_of_a_fit_without_the_example(features: torch.Tensor) -> None:
    whole = solve_ridge(features[:5], SAID, SURE, others_MD=features[5:])
    for n in range(5):
        rest = [m for m in range(5) if m != n]
        without = solve_ridge(features[rest], SAID[rest], SURE[rest], others_MD=torch.cat([features[5:], features[n : n + 1]]))
        answer = features[n] @ without.weight_KD.T + without.bias_K
        torch.testing.assert_close(answer, whole.left_out_NK[n], atol=1e-4, rtol=1e-4)


def test_the_closed_form_is_where_the_weighted_penalised_error_is_flat(features: torch.Tensor) -> None:
    fitted = solve_ridge(features[:5], SAID, SURE, others_MD=features[5:])
    centre = features.mean(0)
    norm = (features - centre).square().sum(1).mean().sqrt()
    examples = torch.cat([(features[:5] - centre) / norm, torch.full((5, 1), BIAS_COLUMN)], dim=1)
    bias = (fitted.bias_K + fitted.weight_KD @ centre) / BIAS_COLUMN
    weights = torch.cat([fitted.weight_KD * norm, bias[:, None]], dim=1).requires_grad_(True)
    error = ((examples @ weights.T - SAID).square().sum(1) * SURE).sum() + PENALTY * weights.square().sum()
    (slope,) = torch.autograd.grad(error, weights)
    assert slope.abs().max() < 1e-3
    assert weights.abs().max() > 0.1


def test_features_twice_as_large_give_the_same_answers(features: torch.Tensor) -> None:
    once, twice = (solve_ridge(f * features[:5], SAID, SURE, others_MD=f * features[5:]) for f in (1.0, 2.0))
    torch.testing.assert_close(once.left_out_NK, twice.left_out_NK, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(once.weight_KD, 2 * twice.weight_KD, atol=1e-4, rtol=1e-4)


def test_an_example_that_is_less_sure_is_fitted_less_closely(features: torch.Tensor) -> None:
    def answer(sure: float) -> float:
        fitted = solve_ridge(features[:5], SAID, torch.tensor([sure, 1, 1, 1, 1]), others_MD=features[5:])
        return float(features[0] @ fitted.weight_KD[0] + fitted.bias_K[0])

    assert answer(0.5) < answer(1.0) < 1.0


def test_clear_answers_give_sharper_scores_than_muddled_ones() -> None:
    clear = 0.8 * SAID + 0.1
    muddled = torch.tensor([[0.4, 0.5], [0.5, 0.4], [0.4, 0.5], [0.5, 0.4], [0.4, 0.5]])
    sure, unsure = ((said / softmax_temperature(said, SAID)).softmax(1).max(1).values for said in (clear, muddled))
    assert sure.min() > 0.8
    assert unsure.max() < 0.65
    assert sigmoid_temperature(clear - 0.5, SAID) < sigmoid_temperature(muddled - 0.5, SAID)


def test_five_right_answers_out_of_five_make_nothing_certain() -> None:
    scores = (SAID / softmax_temperature(SAID, SAID)).softmax(1)
    torch.testing.assert_close(scores.max(1).values, torch.full((5,), 6 / 7), atol=0.03, rtol=0)


def test_where_no_class_was_seen_twice_scores_claim_next_to_nothing() -> None:
    assert softmax_temperature(torch.zeros(3, 3), torch.eye(3)) == TEMPERATURES[-1]


def test_a_threshold_lies_in_the_widest_gap_between_yes_and_no() -> None:
    left_out = torch.tensor([[0.3, 0.0, 0.4], [0.2, 0.0, 0.3], [0.0, 0.0, 0.3], [0.05, 0.0, 0.4], [-0.1, 0.0, 0.5]])
    said = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    assert thresholds(left_out, said).tolist() == pytest.approx([0.125, HALF, 0.15])
