// Charts of {"kind", "names", "series": [{"name", "values"}], "unit"}; the tooltip is drawn on the canvas, as the CSP asks.
(() => {
  const palette = { light: ["#0a62c2", "#1b9e77", "#d9820a", "#8a4fc4", "#c43d6b", "#0b7790", "#7a8a2a", "#5a6676"],
    dark: ["#5b9df0", "#41c39a", "#f0a844", "#b58ae6", "#ec7aa0", "#43b4cc", "#b4c455", "#9fabba"] };
  const shown = (value, unit) => (value == null ? "—" : zhike.number(value) + (unit ? ` ${unit}` : ""));

  function option(data) {
    const ink = zhike.css("--tblr-body-color"), soft = zhike.css("--tblr-secondary"), line = zhike.css("--tblr-border-color");
    const base = {
      color: palette[zhike.isDark() ? "dark" : "light"], backgroundColor: "transparent",
      textStyle: { fontFamily: zhike.css("--tblr-font-sans-serif"), color: soft },
      animationDuration: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 300,
      tooltip: { renderMode: "richText", confine: true, backgroundColor: zhike.css("--tblr-bg-surface"), borderColor: line,
        textStyle: { color: ink, fontSize: 12 }, valueFormatter: (value) => shown(value, data.unit) },
      legend: data.series.length > 1 ? { top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, textStyle: { color: soft } } : undefined,
    };
    if (data.kind === "pie" || data.kind === "funnel") {
      const points = data.names.map((name, i) => ({ name, value: data.series[0].values[i] }));
      const kind = data.kind === "pie"
        ? { type: "pie", radius: ["52%", "78%"], center: ["50%", "50%"], itemStyle: { borderColor: zhike.css("--tblr-bg-surface"), borderWidth: 2 }, label: { color: ink } }
        : { type: "funnel", left: "4%", right: "4%", top: 8, bottom: 8, gap: 3, minSize: "24%", sort: "none", itemStyle: { borderWidth: 0 },
            label: { position: "inside", formatter: (p) => `${p.name} ${zhike.number(p.value)}`, color: "#fff", textBorderColor: "rgba(0,0,0,.55)", textBorderWidth: 2 } };
      return { ...base, legend: undefined, tooltip: { ...base.tooltip, trigger: "item" }, series: [{ ...kind, name: data.series[0].name, data: points }] };
    }
    const bars = data.kind === "bar" || data.kind === "stacked";
    return {
      ...base, tooltip: { ...base.tooltip, trigger: "axis", axisPointer: { type: bars ? "shadow" : "line" } },
      grid: { left: 4, right: 24, top: data.series.length > 1 ? 34 : 14, bottom: 2, containLabel: true },
      xAxis: { type: "category", data: data.names, boundaryGap: bars, axisLine: { lineStyle: { color: line } }, axisTick: { show: false }, axisLabel: { color: soft, hideOverlap: true } },
      yAxis: { type: "value", splitLine: { lineStyle: { color: line } }, axisLabel: { color: soft, formatter: (v) => new Intl.NumberFormat(zhike.locale, { notation: "compact" }).format(v) } },
      series: data.series.map((one) => ({ name: one.name, data: one.values, type: bars ? "bar" : "line", stack: data.kind === "stacked" ? "all" : undefined,
        barMaxWidth: 28, showSymbol: data.names.length < 2, symbolSize: 6, lineStyle: { width: 2 }, areaStyle: data.kind === "area" ? { opacity: .14 } : undefined })),
    };
  }
  zhike.widget("chart", (el) => {
    const data = zhike.json(el.dataset.chart);
    const chart = echarts.init(el, null, { locale: zhike.locale.startsWith("zh") ? "ZH" : "EN" });
    const draw = () => chart.setOption(option(data), true);
    draw();
    const resize = new ResizeObserver(() => chart.resize());
    resize.observe(el);
    document.addEventListener("zhike:theme", draw);
    return () => { resize.disconnect(); document.removeEventListener("zhike:theme", draw); chart.dispose(); };
  });
})();
