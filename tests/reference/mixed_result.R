# Regenerates mixed_result.json: predictions, fitted values, scaled residuals and conditional SDs of lme4 for data
# in mixed_models.json, and coefficients without one cluster. Run in this folder: Rscript mixed_result.R
suppressMessages({library(lme4); library(jsonlite)})

exact <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore")
sets <- fromJSON("mixed_models.json")$models

answers <- function(name, outer) {
  data <- as.data.frame(sets[[name]]$data)
  formula <- as.formula(sets[[name]]$reml$formula)
  model <- lmer(formula, data, control = exact)
  new <- data[1:6, ]
  new[[outer]][4:6] <- "a group of no row"
  # Groups inside the outermost are not told: their effects are left out.
  bar <- as.formula(paste("~ (1 +", if (name == "sleepstudy") "Days" else "epoch", "|", outer, ")"))
  conditional <- as.data.frame(ranef(model, condVar = TRUE))
  conditional <- conditional[conditional$grpvar == outer, ]
  list(
    outer = outer,
    population = predict(model, data, re.form = NA)[1:20],
    fitted = fitted(model)[1:20],
    scaled_residuals = (residuals(model) / sigma(model))[1:20],
    new = list(groups = as.character(new[[outer]]), outermost = predict(model, new, re.form = bar, allow.new.levels = TRUE)),
    conditional_sd = data.frame(level = as.character(conditional$grp), term = as.character(conditional$term),
                                sd = conditional$condsd),
    without_first = fixef(lmer(formula, data[data[[outer]] != data[[outer]][1], ], control = exact))
  )
}
found <- list(
  info = list(R = R.version.string, lme4 = as.character(packageVersion("lme4"))),
  sleepstudy = answers("sleepstudy", "Subject"),
  sim_crossover = answers("sim_crossover", "animal")
)
writeLines(toJSON(found, digits = I(15), auto_unbox = TRUE), "mixed_result.json")
