"""The chart of the page "Which learner?": questions from top to bottom, answers to the right."""

import matplotlib.pyplot as plt

STEPS = [
    (
        "Does one model for all tasks do as well\nas models that know a few rows of each?",
        "keep that model: tasks do not differ\nin a way that a few rows tell",
    ),
    (
        "Does each new task bring\nhundreds of rows of its own?",
        "a model per task, as ever",
    ),
    (
        "Does a new task bring new classes?\n(letters, products, species ...)",
        "1 to 5 rows a class: Prototypical, Matching\n"
        "more, or uneven: RidgeHead, LogisticHead\n"
        "many known classes: GoodEmbedding",
    ),
    (
        "Fewer than about 50 tasks to learn from,\nor nearly straight lines within a task?",
        "EmpiricalBayes  (error bars)\ncurved, but alike in all tasks: offset=boosting",
    ),
    (
        "Do tasks differ in a few hidden quantities?\n(a mass, a dose, a temperature ...)",
        "affine in them: CAMEL\nin any way: CAVIA",
    ),
    (
        "Is the network given, or should\nmore of it adapt than its last layer?",
        "MAML and its relatives\nonly the last layer after all: ANIL",
    ),
    (
        "Must you say how sure you are?",
        "MultiHead (regression)\n"
        "hundreds of tasks of few rows: BayesianHead\n"
        "smooth, ten rows and more: DeepKernel",
    ),
    (
        "Thousands of tasks, adapted\nagain and again?",
        "ConditionalNeuralProcess\nor RidgeHead, which is more accurate",
    ),
]
LAST = "MultiHead first, RidgeHead beside it"
ROW = 1.25
PALE, DARK, GREEN, EDGE = "#e8eef7", "#1f3552", "#e6f3e6", "#7a8aa0"


def box(axis, x, y, width, height, text, color, weight="normal"):
    axis.add_patch(
        plt.matplotlib.patches.FancyBboxPatch(
            (x, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=color,
            edgecolor=EDGE,
        )
    )
    axis.text(
        x + width / 2, y, text, ha="center", va="center", fontsize=11, color=DARK, weight=weight
    )


def arrow(axis, start, end, label, offset):
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": EDGE, "lw": 1.4})
    middle = ((start[0] + end[0]) / 2 + offset[0], (start[1] + end[1]) / 2 + offset[1])
    axis.text(*middle, label, ha="center", va="center", fontsize=10, color=EDGE)


figure, axis = plt.subplots(figsize=(9, 9.5), layout="constrained")
for place, (question, answer) in enumerate(STEPS):
    y = -ROW * place
    box(axis, 0, y, 4.3, 0.85, question, PALE)
    box(axis, 5.2, y, 4.6, 0.95, answer, GREEN)
    arrow(axis, (4.3, y), (5.2, y), "yes", (-0.05, 0.13))
    arrow(axis, (2.15, y - 0.425), (2.15, y - ROW + 0.425), "no", (0.25, 0.02))
box(axis, 0, -ROW * len(STEPS), 4.3, 0.85, LAST, GREEN)
axis.set(xlim=(-0.1, 9.9), ylim=(-ROW * len(STEPS) - 0.6, 0.6))
axis.axis("off")
